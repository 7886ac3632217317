"""Events + stored runs and wallets → the effects of one batch. Pure: no clock, no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache

import msgspec
from msgspec import Raw

from metering.corrections import corrected_cost
from metering.metered import MeteredRun
from metering.prices import PriceBook
from metering.runs import MeteredEvent, RunState, fold
from metering.settling import StoredWallet, balance_of, command_id, fields_of, settle
from metering.totals import CHARGED, COUNTERS, Totals, difference, plus, total, totals_of
from metering.wallet import next_due_ms
from metering.windows import KEPT_S, start_of
from schemas import keys
from schemas.events import GrantEvent, LedgerEntry, LimitEvent
from streams import outbox
from streams.metering.store import Effects, Increments, Plan, Spent, WalletWrite
from streams.outbox import Change, OutboxBatch

_encode = msgspec.msgpack.Encoder().encode

#: Run id → its new events, each with whether its producer's clock is to be doubted.
RunEvents = Mapping[str, list[tuple[MeteredEvent, bool]]]


class Planner:
    """Collects the effects of one batch of one partition.

    `as_of_ms` is the log's time: the latest moment at which the broker recorded one of the batch's records.
    """

    def __init__(self, partition: int, run_ttl_s: int, as_of_ms: int) -> None:
        self._partition = partition
        self._run_ttl_s = run_ttl_s
        self._as_of_ms = as_of_ms
        self._runs: dict[str, MeteredRun] = {}
        self._states: list[bytes] = []
        self._counters: defaultdict[tuple[str, int], list[Totals]] = defaultdict(list)
        self._tenants: dict[str, str] = {}
        self._spent: defaultdict[str, list[Spent]] = defaultdict(list)
        self._charged: defaultdict[str, int] = defaultdict(int)
        self._commands: defaultdict[str, list[GrantEvent]] = defaultdict(list)
        self._wallets: dict[str, StoredWallet] = {}
        self._writes: list[WalletWrite] = []
        self._wallet_states: list[bytes] = []
        self._entries: list[LedgerEntry] = []
        self._limits: list[LimitEvent] = []
        self._changes: list[Change] = []
        #: How many changes were priced by the default, and how many wallets are left below zero.
        self.unpriced = 0
        self.below_zero = 0

    @property
    def runs(self) -> Mapping[str, MeteredRun]:
        """The runs as they will stand once the effects are written."""
        return self._runs

    @property
    def wallets(self) -> Mapping[str, StoredWallet]:
        """The wallets as they will stand once the effects are written."""
        return self._wallets

    def meter(
        self, events: RunEvents, stored: Mapping[str, MeteredRun], books: Mapping[str, PriceBook]
    ) -> None:
        """Fold each run's new events and charge the difference."""
        for run_id, pairs in events.items():
            before = stored.get(run_id)
            state = fold(before.state if before else None, pairs)
            if before is None or state != before.state:
                self._account(run_id, state, before, books)

    def _account(
        self, run_id: str, state: RunState, before: MeteredRun | None, books: Mapping[str, PriceBook]
    ) -> None:
        amended, charge, adjustments = corrected_cost(state, books)
        totals = totals_of(amended, charge.micro)
        added = difference(totals, before.totals) if before else totals
        identity = state.identity
        # The narrowest window; the wider ones are made of it once per batch, not once per run.
        slot = (identity.instance_id, start_of("second5", identity.started_at_ms))
        self._counters[slot].append(added)
        charged = added[CHARGED]
        if charged or state.closed:
            org_id = identity.org_id
            self._tenants[org_id] = identity.tenant_id
            self._charged[org_id] += charged
            self._spent[org_id].append(Spent(run_id, identity.instance_id, str(charged), state.closed))
        run = MeteredRun(state, totals, adjustments)
        blob = _encode(run)
        self._runs[run_id] = run
        self._states.append(blob)
        self._changes.append(Change(charge.unpriced, Raw(blob)))
        self.unpriced += charge.unpriced

    def command(self, commands: Iterable[GrantEvent], applied: set[str]) -> None:
        """Queue the commands that their wallets have not applied yet."""
        seen = set(applied)
        for command in commands:
            self._tenants[command.org_id] = command.tenant_id
            if command.action == "expire":
                self._commands[command.org_id].append(command)
            elif command_id(command) not in seen:
                seen.add(command_id(command))
                self._commands[command.org_id].append(command)

    @property
    def orgs(self) -> list[str]:
        """The organisations whose wallets the batch changes."""
        return list(self._tenants)

    def settle(self, stored: Mapping[str, StoredWallet]) -> None:
        """Bring the wallets to the log's time, apply the commands, and charge what the runs used."""
        for org_id, tenant_id in self._tenants.items():
            before = stored.get(org_id) or StoredWallet(tenant_id)
            commands = self._commands.get(org_id, [])
            settled = settle(org_id, before, commands, self._charged.get(org_id, 0), self._as_of_ms)
            self._entries += settled.entries
            self._limits += settled.limits
            after = self._wallets[org_id] = settled.stored
            balance = balance_of(after)
            self.below_zero += balance < 0
            blob = _encode(after)
            self._wallet_states.append(blob)
            self._writes.append(
                WalletWrite(
                    org_id,
                    fields_of(after),
                    len(blob),
                    next_due_ms(after.wallet),
                    str(balance),
                    str(after.version),
                    [command_id(command) for command in commands if command.action != "expire"],
                    self._spent.get(org_id, []),
                )
            )

    def effects(self, fences: Mapping[str, tuple[int, int]]) -> Effects:
        """Return what to write, moving each topic's fence from the first offset to the second."""
        told = OutboxBatch(self._entries, self._limits, self._changes)
        blob = outbox.encode(told) if self._entries or self._limits or self._changes else b""
        partition = self._partition
        plan = Plan(
            keys=_keys(partition),
            fences=[(keys.fence(partition, t), str(a), str(b)) for t, (a, b) in fences.items()],
            run_ttl=self._run_ttl_s,
            runs=[(run_id, len(state)) for run_id, state in zip(self._runs, self._states, strict=True)],
            counters=self._counter_increments(),
            wallets=self._writes,
            limit_channel=keys.LIMIT_CHANNEL,
        )
        return Effects(
            plan=plan, outbox=blob, states=b"".join(self._states), wallets=b"".join(self._wallet_states)
        )

    def _counter_increments(self) -> list[tuple[str, int, Increments]]:
        hashes: dict[tuple[str, int], Totals] = {}
        for (instance_id, start_ms), additions in self._counters.items():
            added = total(additions)
            _add(hashes, (keys.counter(self._partition, instance_id), 0), added)
            for window, kept_s in KEPT_S.items():
                start = start_of(window, start_ms)
                _add(hashes, (keys.counter(self._partition, instance_id, window, start), kept_s), added)
        return [(key, ttl, _increments(totals)) for (key, ttl), totals in hashes.items()]


@cache
def _keys(partition: int) -> dict[str, str]:
    """Return what the script appends ids to."""
    return {
        "run": keys.run(partition, ""),
        "wallet": keys.wallet(partition, ""),
        "wallet_state": keys.wallet_state(partition, ""),
        "wallet_grants": keys.wallet_grants(partition, ""),
        "wallets_due": keys.wallets_due(partition),
        "holds": keys.holds(partition, ""),
        "held_by_instance": keys.held_by_instance(partition, ""),
        "running": keys.running(partition, ""),
        "leases": keys.leases(partition),
        "lease": keys.lease(partition, ""),
        "outbox": keys.outbox(partition),
        "applying": keys.applying(partition),
    }


def _add(sums: dict[tuple[str, int], Totals], key: tuple[str, int], added: Totals) -> None:
    known = sums.get(key)
    sums[key] = added if known is None else plus(known, added)


def _increments(totals: Totals) -> Increments:
    fields: Increments = []
    for name, value in zip(COUNTERS, totals, strict=True):
        if value:
            fields += [name, str(value)]
    return fields
