"""Events + stored runs → the effects of one batch. Pure: no clock, no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw

from metering.prices import PriceBook, cost
from metering.runs import MeteredEvent, RunState, fold
from metering.totals import CHARGED, COUNTERS, Totals, difference, plus, total, totals_of
from metering.windows import KEPT_S, start_of
from schemas import keys
from schemas.events import GrantEvent
from streams import outbox
from streams.metering.store import Effects, Increments, Plan
from streams.outbox import Change, MeteredRun, OutboxBatch

_encode = msgspec.msgpack.Encoder().encode

#: Run id → its new events, each with whether its producer's clock is to be doubted.
RunEvents = Mapping[str, list[tuple[MeteredEvent, bool]]]


class Planner:
    """Collects the effects of one batch of one partition."""

    def __init__(self, partition: int, run_ttl_s: int) -> None:
        self._partition = partition
        self._run_ttl_s = run_ttl_s
        self._runs: dict[str, MeteredRun] = {}
        self._states: list[bytes] = []
        self._counters: defaultdict[tuple[str, int], list[Totals]] = defaultdict(list)
        self._charged: defaultdict[str, int] = defaultdict(int)
        self._granted: defaultdict[str, int] = defaultdict(int)
        self._grants: list[GrantEvent] = []
        self._closed: list[RunState] = []
        self._changes: list[Change] = []

    @property
    def runs(self) -> Mapping[str, MeteredRun]:
        """The runs as they will stand once the effects are written."""
        return self._runs

    def meter(
        self, events: RunEvents, stored: Mapping[str, MeteredRun], books: Mapping[str, PriceBook]
    ) -> None:
        """Fold each run's new events and charge the difference."""
        for run_id, pairs in events.items():
            before = stored.get(run_id)
            state = fold(before.state if before else None, pairs)
            if before is None or state != before.state:
                self._account(run_id, state, before, books[state.identity.price_version])

    def _account(self, run_id: str, state: RunState, before: MeteredRun | None, book: PriceBook) -> None:
        charge = cost(state, book)
        totals = totals_of(state, charge.micro)
        added = difference(totals, before.totals) if before else totals
        identity = state.identity
        # The narrowest window; the wider ones are made of it once per batch, not once per run.
        slot = (identity.instance_id, start_of("second5", identity.started_at_ms))
        self._counters[slot].append(added)
        self._charged[identity.org_id] += added[CHARGED]
        if state.closed:
            self._closed.append(state)
        run = MeteredRun(state, totals)
        blob = _encode(run)
        self._runs[run_id] = run
        self._states.append(blob)
        self._changes.append(Change(added[CHARGED], charge.unpriced, Raw(blob)))

    def grant(self, grants: Iterable[GrantEvent], known: set[str]) -> None:
        """Give the credits of grants that the wallets do not hold yet."""
        applied = set(known)
        for grant in grants:
            if grant.grant_id not in applied:
                applied.add(grant.grant_id)
                self._grants.append(grant)
                self._granted[grant.org_id] += grant.amount_micro

    def effects(self, fences: Mapping[str, tuple[int, int]]) -> Effects:
        """Return what to write, moving each topic's fence from the first offset to the second."""
        blob = b""
        if self._grants or self._changes:
            blob = outbox.encode(OutboxBatch(self._grants, self._changes))
        return Effects(plan=self._plan(fences), outbox=blob, states=b"".join(self._states))

    def _plan(self, fences: Mapping[str, tuple[int, int]]) -> Plan:
        partition = self._partition
        return Plan(
            fences=[(keys.fence(partition, t), str(a), str(b)) for t, (a, b) in fences.items()],
            run_prefix=keys.run(partition, ""),
            run_ttl=self._run_ttl_s,
            runs=[(run_id, len(state)) for run_id, state in zip(self._runs, self._states, strict=True)],
            counters=self._counter_increments(),
            wallets=self._wallet_increments(),
            grants=[(keys.wallet_grants(partition, g.org_id), g.grant_id) for g in self._grants],
            closed=[
                (
                    s.identity.run_id,
                    keys.holds(partition, s.identity.org_id),
                    keys.wallet(partition, s.identity.org_id),
                    keys.lease(partition, s.identity.run_id),
                )
                for s in self._closed
            ],
            leases_key=keys.leases(partition),
            outbox_key=keys.outbox(partition),
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

    def _wallet_increments(self) -> list[tuple[str, Increments]]:
        wallets: list[tuple[str, Increments]] = []
        for org_id in self._charged.keys() | self._granted.keys():
            charged, granted = self._charged[org_id], self._granted[org_id]
            fields: Increments = []
            for name, value in (("balance", granted - charged), ("granted", granted), ("charged", charged)):
                if value:
                    fields += [name, str(value)]
            if fields:
                wallets.append((keys.wallet(self._partition, org_id), fields))
        return wallets


def _add(sums: dict[tuple[str, int], Totals], key: tuple[str, int], added: Totals) -> None:
    known = sums.get(key)
    sums[key] = added if known is None else plus(known, added)


def _increments(totals: Totals) -> Increments:
    fields: Increments = []
    for name, value in zip(COUNTERS, totals, strict=True):
        if value:
            fields += [name, str(value)]
    return fields
