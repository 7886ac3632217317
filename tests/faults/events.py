"""Bad events, too many events, the same event again, and clients that ask for too much at once."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable

from clients import Client, Reply
from trial import Fault, Plan
from world import World

from schemas.partitioning import partition_of

_TOPICS = ("usage.runs", "usage.tokens", "usage.tool_calls", "credits.grants", "credits.ledger")
_TIMES = 3
_AT_ONCE = 50
_BURST = 1_000
_PAYS_FOR = 10
_TRIES = 60
_RETRY_S = 0.25


class Duplicates(Fault):
    """All recorded events again, three times each, shuffled, old ones among new ones."""

    name = "duplicates"

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        await world.see.log.read()
        again = [
            (at[0], at[1], *record)
            for at, record in world.see.log.records.items()
            if at[0] in _TOPICS and at not in world.planted
        ] * _TIMES
        chance.shuffle(again)
        async with world.producer() as producer:
            sent = [
                await producer.send(topic, value, key=key, partition=partition)
                for topic, partition, key, value in again
            ]
            await asyncio.gather(*sent)


class PoisonFlood(Fault):
    """Records that nobody can apply, between good ones: exactly these become dead letters."""

    name = "poison-flood"

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        org = world.demo.org_id
        home = partition_of(org, 8)
        event = self._template(world, org)
        bad: list[tuple[str, bytes | None, bytes | None, int]] = []
        for topic in ("usage.runs", "usage.tokens", "usage.tool_calls"):
            key = org.encode()
            for value in self._values(event):
                bad.append((topic, key, value, home))
            # A null key is no harm by itself: what refuses this one is its value.
            bad.append((topic, None, b"[]", home))
            bad.append((topic, key, None, home))
        bad.append(("usage.tokens", org.encode(), json.dumps(event).encode(), (home + 1) % 8))
        bad.append(("credits.grants", org.encode(), b'{"v":1}', home))
        chance.shuffle(bad)
        async with world.producer() as producer:
            for topic, key, value, partition in bad:
                done = await producer.send_and_wait(topic, value, key=key, partition=partition)
                world.planted.add((done.topic, done.partition, done.offset))
                await asyncio.sleep(chance.uniform(0, 0.02))

    @staticmethod
    def _template(world: World, org: str) -> dict[str, object]:
        """Return a lawful token event of a run that does not exist."""
        return {
            "v": 1,
            "tenant_id": world.demo.tenant_id,
            "org_id": org,
            "instance_id": world.demo.instance_id,
            "run_id": f"run_poison_{uuid.uuid4().hex}",
            "channel": "api",
            "price_version": "nowhere",
            "started_at_ms": 1,
            "occurred_at_ms": 1,
            "call_id": "c",
            "seq": 1,
            "model": "m",
        }

    @staticmethod
    def _values(event: dict[str, object]) -> list[bytes]:
        def changed(**fields: object) -> bytes:
            return json.dumps({**event, **fields}).encode()

        return [
            b"",
            b"{not json",
            b"\xff\xfe\x00",
            b"null",
            b'"text"',
            b"x" * 1_000_000,
            changed(output="many", tokens_in="many", duration_ms="long"),
            changed(occurred_at_ms=float("nan")),
            changed(started_at_ms=2**63),
            changed(occurred_at_ms=-1),
            changed(v=99),
            changed(org_id=""),
        ]


class SameKey(Fault):
    """Fifty requests with one Idempotency-Key at once: one run, one charge, one answer."""

    name = "same-key"

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        self._wrong: list[str] = []
        self._refused: Counter[int] = Counter()
        instance = chance.choice(world.instances)
        async with Client(world.urls.gateway_url) as client:
            one = self._until_answered(client, instance.api_key, f"same-{uuid.uuid4()}")
            replies = await asyncio.gather(*[one() for _ in range(_AT_ONCE)])
        world.told |= client.told
        answers = {json.dumps(reply.body, sort_keys=True) for reply in replies}
        if len(answers) != 1 or len(client.told) != 1:
            self._wrong.append(f"{len(answers)} different answers: {sorted(answers)[:3]}")

    def _until_answered(self, client: Client, api_key: str, key: str) -> Callable[[], Awaitable[Reply]]:
        body = {"input": "What is 6 * 7?", "max_tokens": 50}

        async def one() -> Reply:
            for _ in range(_TRIES):
                reply = await client.run(api_key, body, key)
                # 409: the first is still under way. 503: a store is away. Either asks for a repetition.
                if reply.status not in (0, 409, 503):
                    break
                self._refused[reply.status] += 1
                await asyncio.sleep(_RETRY_S)
            return reply

        return one

    def notes(self) -> list[str]:
        return [f"{count} answered {status} at first" for status, count in sorted(self._refused.items())]

    async def check(self, world: World) -> list[str]:
        return self._wrong


class PoorWallet(Fault):
    """A thousand runs at once against a wallet that can pay for ten."""

    name = "poor-wallet"

    async def prepare(self, world: World) -> None:
        body = {"input": "Tell me about delivery options.", "max_tokens": 20}
        _, instance = await world.add_org(10**12, tools=())
        async with Client(world.urls.gateway_url) as client:
            one = await client.run(instance.api_key, body)
        world.told |= client.told
        self._wrong: list[str] = []
        cost = next(iter(client.told.values())).charged
        self._body = body
        self.org, self._instance = await world.add_org(cost * _PAYS_FOR, tools=())
        if one.status != 200:
            self._wrong.append(f"the first run was answered {one.status}")

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        async with Client(world.urls.gateway_url, connections=_BURST) as client:
            replies = await asyncio.gather(
                *[client.run(self._instance.api_key, self._body) for _ in range(_BURST)]
            )
        world.told |= client.told
        self._replies: list[Reply] = replies

    async def check(self, world: World) -> list[str]:
        self._statuses = Counter(reply.status for reply in self._replies)
        if not set(self._statuses) <= {200, 402, 429, 503}:
            self._wrong.append(f"statuses {dict(self._statuses)}")
        if not self._statuses[200] or not self._statuses[402]:
            self._wrong.append(f"neither all nor none may be admitted: {dict(self._statuses)}")
        return self._wrong

    def notes(self) -> list[str]:
        return [f"{count} answered {status}" for status, count in sorted(self._statuses.items())]


FAULTS: tuple[Fault, ...] = (Duplicates(), PoisonFlood(), SameKey(), PoorWallet())
