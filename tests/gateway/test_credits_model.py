"""Wallet, holds, grants and expiry together, on a real Redis, against a model that only adds and compares.

The machine admits, extends, charges and closes runs, grants credits and lets time pass, in any order, through
the scripts of the gateway and of the metering worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from admission_rig import BOOK, NOON_MS, PARTITION, Wicket, hold
from containers import redis_at
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.admission import NotExtended
from gateway.errors import InsufficientCredits
from kit import clock, redis_client
from metering import wallet as transitions
from metering.runs import MeteredEvent
from metering.settling import StoredWallet
from schemas import keys, topics
from schemas.directory import Limits
from schemas.events import GrantEvent, RunEvent, TokenEvent
from streams.metering.planner import Planner
from streams.metering.store import PartitionStore
from streams.relay.reaper import expire_command

T = TypeVar("T")
amounts = st.integers(1, 500)
DAY_MS = 86_400_000
NEVER_MS = 1 << 53


class Credits(RuleBasedStateMachine):
    """One organisation. Every run keeps to its hold, as the gateway makes the model do."""

    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = redis_client.connect(redis_at(self.redis_url))
        self.store = PartitionStore(self.redis)
        self.wicket = Wicket(self.redis, Limits(), now_ms=NOON_MS)
        self.org_id = self.wicket.org_id
        self.wait(self.store.create_fences(PARTITION, [topic.name for topic in topics.METERED]))
        #: Run → what it may cost in all, and what it has cost.
        self.runs: dict[str, list[int]] = {}
        self.granted = self.charged = self.said = 0
        #: The most by which holds ever exceeded the balance, because credits expired under them.
        self.exposed = 0

    def teardown(self) -> None:
        self.wait(self.redis.aclose())
        self.loop.close()

    def wait(self, doing: Awaitable[T]) -> T:
        return self.loop.run_until_complete(_awaited(doing))

    async def apply(self, events: dict[str, list[MeteredEvent]], commands: list[GrantEvent]) -> None:
        """What the metering worker does with a batch recorded now."""
        position = await self.store.position(PARTITION)
        planner = Planner(PARTITION, 3_600, self.wicket.now_ms)
        planner.command(commands, set())
        stored = await self.store.runs(PARTITION, list(events))
        pairs = {run_id: [(event, False) for event in made] for run_id, made in events.items()}
        planner.meter(pairs, stored, {BOOK.version: BOOK})
        planner.settle(await self.store.wallets(PARTITION, planner.orgs))
        assert await self.store.apply(PARTITION, position.seq, planner.effects({}))

    def whose(self, run_id: str) -> dict[str, Any]:
        return {
            "tenant_id": "tenant_1",
            "org_id": self.org_id,
            "instance_id": self.wicket.instance.instance_id,
            "run_id": run_id,
            "channel": "api",
            "price_version": BOOK.version,
            "started_at_ms": NOON_MS,
            "occurred_at_ms": self.wicket.now_ms,
        }

    def stored(self) -> transitions.Wallet:
        found = self.wait(self.store.wallets(PARTITION, [self.org_id])).get(self.org_id, StoredWallet("t"))
        return transitions.advance(found.wallet, self.wicket.now_ms)[0]

    def due_ms(self) -> int:
        """When time alone changes the wallet next."""
        score = self.wait(self.redis.zscore(keys.wallets_due(PARTITION), self.org_id))
        return NEVER_MS if score is None else int(score)

    def available(self) -> int:
        now = self.wicket.now_ms
        return transitions.balance(self.stored(), now) - sum(held - used for held, used in self.runs.values())

    @rule(passed=st.integers(0, 3 * DAY_MS))
    def time_passes(self, passed: int) -> None:
        """What an admission knows of changes to come ends somewhere; the relay sees to it that it goes on."""
        end_ms = self.wicket.now_ms + passed
        while (due_ms := self.due_ms()) <= end_ms:
            self.wicket.now_ms = max(self.wicket.now_ms, due_ms)
            self.exposed = max(self.exposed, -self.available())
            self.wait(self.apply({}, [expire_command("tenant_1", self.org_id, self.wicket.now_ms)]))
        self.wicket.now_ms = end_ms
        self.exposed = max(self.exposed, -self.available())

    @rule(amount=st.integers(1, 2_000), priority=st.integers(0, 2), lasts=st.integers(0, 5 * DAY_MS))
    def grant(self, amount: int, priority: int, lasts: int) -> None:
        now = self.wicket.now_ms
        command = GrantEvent(
            grant_id=clock.new_id("g"),
            tenant_id="tenant_1",
            org_id=self.org_id,
            kind="plan",
            amount_micro=amount,
            occurred_at_ms=now,
            priority=priority,
            expires_at_ms=now + lasts if lasts > 1 else 0,
        )
        self.wait(self.apply({}, [command]))
        self.granted += amount

    @rule(wanted=amounts, minimum=amounts)
    def admit(self, wanted: int, minimum: int) -> None:
        minimum, available = min(minimum, wanted), self.available()
        try:
            admitted = self.wait(self.wicket.admit(hold(wanted, minimum)))
        except InsufficientCredits:
            assert available < minimum
        else:
            assert minimum <= admitted.held_micro <= min(wanted, available)
            self.runs[admitted.run_id] = [admitted.held_micro, 0]

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), wanted=amounts)
    def extend(self, data: st.DataObject, wanted: int) -> None:
        run_id, available = data.draw(st.sampled_from(sorted(self.runs))), self.available()
        added = self.wait(self.wicket.extend(run_id, 1, wanted))
        if isinstance(added, NotExtended):
            assert available < 1
        else:
            assert 1 <= added <= min(wanted, available)
            self.runs[run_id][0] += added

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), more=st.integers(-300, 300))
    def use(self, data: st.DataObject, more: int) -> None:
        """An estimate may turn out to have been too high: what was cached, say, is known at the end."""
        run_id = data.draw(st.sampled_from(sorted(self.runs)))
        held, used = self.runs[run_id]
        self._charge(run_id, max(-used, min(more, held - used)), closing=False)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), more=st.integers(0, 200))
    def close(self, data: st.DataObject, more: int) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.runs)))
        held, used = self.runs[run_id]
        self._charge(run_id, min(more, held - used), closing=True)
        del self.runs[run_id]

    def _charge(self, run_id: str, more: int, *, closing: bool) -> None:
        used = self.runs[run_id][1] = self.runs[run_id][1] + more
        self.charged += more
        self.said += 1
        usage = TokenEvent(**self.whose(run_id), call_id=run_id, seq=self.said, model="model", output=used)
        events: list[MeteredEvent] = [usage]
        if closing:
            events.append(RunEvent(**self.whose(run_id), status="completed", model="model"))
        self.wait(self.apply({run_id: events}, []))

    @invariant()
    def what_is_held_is_the_same_everywhere(self) -> None:
        wallet = self.wait(self.redis.hgetall(keys.wallet(PARTITION, self.org_id)))
        holds = self.wait(self.redis.hgetall(keys.holds(PARTITION, self.org_id)))
        instances = self.wait(self.redis.hvals(keys.held_by_instance(PARTITION, self.org_id)))
        running = self.wait(self.redis.smembers(keys.running(PARTITION, self.wicket.instance.instance_id)))
        expected = {run_id.encode(): held - used for run_id, (held, used) in self.runs.items()}
        assert {run_id: int(held) for run_id, held in holds.items()} == expected
        assert int(wallet.get(b"held", 0)) == sum(map(int, instances)) == sum(expected.values())
        assert running == set(expected)

    @invariant()
    def the_wallet_adds_up_and_owes_no_more_than_what_expired_under_holds(self) -> None:
        wallet = self.stored()
        assert (wallet.granted_micro, wallet.charged_micro) == (self.granted, self.charged)
        assert wallet.debt_micro <= self.exposed


async def _awaited(doing: Awaitable[T]) -> T:
    return await doing


def test_credits_are_never_promised_twice_nor_lost(redis_url: str) -> None:
    machine = type("CreditsOnRedis", (Credits,), {"redis_url": redis_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
