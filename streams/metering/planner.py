"""Events + stored runs → the plan of one batch. Pure: no clock, no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from metering.prices import PriceBook, cost
from metering.runs import MeteredEvent, RunState, fold, version_of
from metering.totals import CHARGED, COUNTERS, ZERO, Totals, difference, snapshot_of, totals_of
from metering.windows import KEPT_S, start_of
from schemas import keys
from schemas.events import GrantEvent, LedgerEntry
from streams.metering.store import Increments, MeteredRun, Plan

_encode = msgspec.msgpack.Encoder().encode

#: The Redis set of applied grants and the wallet agree because one script writes both.
RunEvents = Mapping[str, list[tuple[MeteredEvent, bool]]]


class Planner:
    """Collects the effects of one batch of one partition."""

    def __init__(self, partition: int, seq: int, run_ttl_s: int) -> None:
        self._partition = partition
        self._seq = seq + 1
        self._run_ttl_s = run_ttl_s
        self._runs: dict[str, MeteredRun] = {}
        self._counters: dict[tuple[str, int], Totals] = {}
        self._charged: defaultdict[str, int] = defaultdict(int)
        self._granted: defaultdict[str, int] = defaultdict(int)
        self._grants: list[tuple[str, str]] = []
        self._closed: list[RunState] = []
        self._entries: list[LedgerEntry] = []

    @property
    def runs(self) -> Mapping[str, MeteredRun]:
        """The runs as they will stand once the plan is applied."""
        return self._runs

    def meter(
        self, events: RunEvents, stored: Mapping[str, MeteredRun], books: Mapping[str, PriceBook]
    ) -> None:
        """Fold each run's new events and charge the difference."""
        for run_id, pairs in events.items():
            before = stored.get(run_id)
            state = fold(before.state if before else None, pairs)
            if before is not None and state == before.state:
                continue
            self._account(run_id, state, before, books[state.identity.price_version])

    def _account(self, run_id: str, state: RunState, before: MeteredRun | None, book: PriceBook) -> None:
        charge = cost(state, book)
        totals = totals_of(state, charge.micro)
        added = difference(totals, before.totals if before else ZERO)
        identity = state.identity
        self._runs[run_id] = MeteredRun(state, totals)
        slot = (identity.instance_id, identity.started_at_ms)
        known = self._counters.get(slot)
        self._counters[slot] = added if known is None else _sum(known, added)
        self._charged[identity.org_id] += added[CHARGED]
        if state.closed:
            self._closed.append(state)
        snapshot = snapshot_of(state, totals, version_of(state), unpriced=charge.unpriced)
        self._entries.append(
            LedgerEntry(
                entry_id=self._entry_id(),
                partition=self._partition,
                seq=self._seq,
                index=len(self._entries),
                kind="usage",
                tenant_id=identity.tenant_id,
                org_id=identity.org_id,
                amount_micro=-added[CHARGED],
                occurred_at_ms=identity.started_at_ms,
                reference_id=run_id,
                run=snapshot,
            )
        )

    def grant(self, grants: Iterable[GrantEvent], known: set[str]) -> None:
        """Give the credits of grants that the wallets do not hold yet."""
        applied = set(known)
        for grant in grants:
            if grant.grant_id in applied:
                continue
            applied.add(grant.grant_id)
            self._grants.append((keys.wallet_grants(self._partition, grant.org_id), grant.grant_id))
            self._granted[grant.org_id] += grant.amount_micro
            self._entries.append(
                LedgerEntry(
                    entry_id=self._entry_id(),
                    partition=self._partition,
                    seq=self._seq,
                    index=len(self._entries),
                    kind="grant",
                    tenant_id=grant.tenant_id,
                    org_id=grant.org_id,
                    amount_micro=grant.amount_micro,
                    occurred_at_ms=grant.occurred_at_ms,
                    reference_id=grant.grant_id,
                    reason=grant.reason,
                )
            )

    def plan(self, fences: Mapping[str, tuple[int, int]]) -> Plan:
        """Return the plan that moves each topic's fence from the first offset to the second."""
        partition = self._partition
        return Plan(
            fences=[(keys.fence(partition, t), str(a), str(b)) for t, (a, b) in fences.items()],
            run_ttl=self._run_ttl_s,
            runs=[(keys.run(partition, run_id), _encode(run)) for run_id, run in self._runs.items()],
            counters=self._counter_increments(),
            wallets=self._wallet_increments(),
            grants=self._grants,
            holds=[
                (
                    keys.holds(partition, s.identity.org_id),
                    s.identity.run_id,
                    keys.wallet(partition, s.identity.org_id),
                )
                for s in self._closed
            ],
            leases=[
                (keys.leases(partition), s.identity.run_id, keys.lease(partition, s.identity.run_id))
                for s in self._closed
            ],
            outbox_key=keys.outbox(partition),
            outbox=_encode(self._entries) if self._entries else b"",
        )

    def _entry_id(self) -> str:
        return f"{self._partition}-{self._seq}-{len(self._entries)}"

    def _counter_increments(self) -> list[tuple[str, int, Increments]]:
        hashes: dict[tuple[str, int], Totals] = {}
        for (instance_id, started_at_ms), added in self._counters.items():
            _add(hashes, (keys.counter(self._partition, instance_id), 0), added)
            for window, kept_s in KEPT_S.items():
                start = start_of(window, started_at_ms)
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


def _sum(a: Totals, b: Totals) -> Totals:
    return tuple([x + y for x, y in zip(a, b, strict=True)])


def _add(sums: dict[tuple[str, int], Totals], key: tuple[str, int], added: Totals) -> None:
    known = sums.get(key)
    sums[key] = added if known is None else _sum(known, added)


def _increments(totals: Totals) -> Increments:
    fields: Increments = []
    for name, value in zip(COUNTERS, totals, strict=True):
        if value:
            fields += [name, str(value)]
    return fields
