"""Witnesses against the recomputation: what agrees, and what does not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping

from msgspec import Struct, field

from metering.totals import CHARGED, COUNTERS, ZERO, Totals, plus
from schemas import rows, topics
from streams.outbox import entries_of
from streams.reconcile.recompute import Expected, Org, Recomputation
from streams.reconcile.witnesses import Entry, RunRow, Stores

MAX_DIFFERENCES = 1_000
_MAX_IN_FLIGHT = 20
_APPLIED = {topic.name for topic in topics.METERED}
_AGAIN_S = 1.0
_TOKENS_IN, _TOKENS_OUT = COUNTERS.index("tokens_in"), COUNTERS.index("tokens_out")
_TOOL_CALLS = COUNTERS.index("tool_calls")
_TABLE_OF = {
    topics.RUNS.name: rows.RUN_EVENTS.name,
    topics.TOKENS.name: rows.TOKEN_EVENTS.name,
    topics.TOOL_CALLS.name: rows.TOOL_CALL_EVENTS.name,
    topics.CORRECTIONS.name: rows.CORRECTIONS.name,
}
_TAKEN = ("charged", "expired", "voided", "refunded")


class Figure(Struct):
    """One amount by witness; `None` where a witness has nothing to say of it."""

    name: str
    recomputed: int | None = None
    redis: int | None = None
    ledger: int | None = None
    clickhouse: int | None = None


class Report(Struct):
    """What was found. `differences` names at most so many; `different` counts all."""

    orgs: int = 0
    runs: int = 0
    records: int = 0
    records_stored: int = 0
    #: Wallets below zero, and all that is held.
    overdrawn: int = 0
    held_micro: int = 0
    different: int = 0
    differences: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    in_flight: list[str] = field(default_factory=list)
    #: How old the oldest record is that no fence has passed, or, if that is older, the newest that ClickHouse
    #: holds of a log of which it lacks some; 0 when everything is applied and stored.
    behind_ms: int = 0
    seconds: float = 0.0

    @property
    def exact(self) -> bool:
        return not self.different

    def say(self, difference: str) -> None:
        self.different += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)


async def settled(
    stores: Stores, *, tenant_id: str = "", org_id: str = "", since_ms: int = 0, wait_s: float = 0
) -> Report:
    """Reconcile, again while something is under way and time is left."""
    deadline = time.monotonic() + wait_s
    while True:
        report = await reconcile(stores, tenant_id=tenant_id, org_id=org_id, since_ms=since_ms)
        if (report.exact and not report.in_flight) or time.monotonic() > deadline:
            return report
        await asyncio.sleep(_AGAIN_S)


async def reconcile(stores: Stores, *, tenant_id: str = "", org_id: str = "", since_ms: int = 0) -> Report:
    """Compare everything, or one tenant, one organisation, or the runs that started since then.

    Writes nothing. The records of the log are counted whatever is compared: they are nobody's alone. Where
    raw events are not kept for ever, only runs that still have theirs are compared.
    """
    began = time.monotonic()
    since_ms = max(since_ms, stores.complete_since_ms())
    report = Report()
    bounds = await stores.bounds()
    report.in_flight = [line async for line in stores.in_flight(bounds)][:_MAX_IN_FLIGHT]
    report.behind_ms = await stores.behind_ms(bounds)
    refused, unstored = await stores.refused()
    recomputation = Recomputation(stores.client, await stores.books(), refused, since_ms)
    sums = _Sums()
    for org in await stores.orgs():
        if (not org_id or org.org_id == org_id) and (not tenant_id or org.tenant_id == tenant_id):
            await _Org(stores, report, sums, org, since_ms).compare(recomputation)
    report.figures = sums.figures(whole=not since_ms)
    for (topic, partition), (first, end) in sorted(bounds.items()):
        if topic in _TABLE_OF:
            stored = await stores.stored(_TABLE_OF[topic], (topic, partition), first, end)
            missing = sum(1 for at in unstored if at[:2] == (topic, partition) and first <= at[2] < end)
            report.records += end - first
            report.records_stored += stored + missing
            if stored + missing != end - first:
                newest = await stores.newest_ms(_TABLE_OF[topic], (topic, partition))
                report.behind_ms = (
                    max(report.behind_ms, stores.clock() - newest) if newest else report.behind_ms
                )
                report.say(f"{topic}/{partition}: {end - first} records in the log, {stored} stored")
    if report.different:
        report.in_flight += await _grown(stores, bounds)
    report.seconds = time.monotonic() - began
    return report


async def _grown(stores: Stores, bounds: Mapping[tuple[str, int], tuple[int, int]]) -> list[str]:
    """Return where the log grew meanwhile: what differs may only be what one store was asked for later.

    Of what is applied alone: of other topics no figure is made.
    """
    said = []
    for (topic, partition), (_, end) in (await stores.bounds()).items():
        more = end - bounds[topic, partition][1]
        if more and topic in _APPLIED:
            said.append(f"{topic}/{partition}: {more} records came meanwhile")
    return said[:_MAX_IN_FLIGHT]


class _Sums:
    """The figures of all organisations together."""

    def __init__(self) -> None:
        self.recomputed: Counter[str] = Counter()
        self.redis: Counter[str] = Counter()
        self.ledger: Counter[str] = Counter()
        self.clickhouse: Counter[str] = Counter()

    def figures(self, *, whole: bool) -> list[Figure]:
        made = [
            Figure(
                name,
                self.recomputed[name],
                self.redis[name] if whole else None,
                self.ledger[name] if name == "charged" and whole else None,
                self.clickhouse[name],
            )
            for name in ("runs", "tokens_in", "tokens_out", "tool_calls", "charged")
        ]
        if whole:
            made += [
                Figure(name, None, self.redis[name], self.ledger[name])
                for name in ("granted", "expired", "voided", "refunded", "balance")
            ]
        return made


class _Org:
    """One organisation's comparison."""

    def __init__(self, stores: Stores, report: Report, sums: _Sums, org: Org, since_ms: int) -> None:
        self._stores = stores
        self._report = report
        self._sums = sums
        self._org = org
        self._since_ms = since_ms

    async def compare(self, recomputation: Recomputation) -> None:
        report, org = self._report, self._org
        report.orgs += 1
        since = f"{self._since_ms // 1000}.{self._since_ms % 1000:03}"
        stored = await self._stores.runs(org, since)
        ledger = await self._stores.ledger(org)
        by_instance: defaultdict[str, Totals] = defaultdict(lambda: ZERO)
        seen: set[str] = set()
        async for runs in recomputation.runs(org):
            for run_id, expected in runs.items():
                report.runs += 1
                seen.add(run_id)
                self._run(run_id, expected, stored.get(run_id), ledger)
                if expected.run is not None:
                    known = by_instance[expected.instance_id]
                    by_instance[expected.instance_id] = plus(known, expected.run.totals)
        for run_id in stored.keys() - seen:
            report.say(f"{org.org_id}/{run_id}: in `runs`, but no event of it was recorded")
        for totals in by_instance.values():
            self._sums.recomputed.update(dict(zip(COUNTERS, totals, strict=True)))
        self._sums.clickhouse["runs"] += sum(row.status != "started" for row in stored.values())
        if not self._since_ms:
            await self._rollups(stored)
            await self._counters(by_instance)
            await self._wallet(ledger, sum(totals[CHARGED] for totals in by_instance.values()))
        await self._holds()

    def _run(self, run_id: str, expected: Expected, row: RunRow | None, ledger: Mapping[str, Entry]) -> None:
        where = f"{self._org.org_id}/{run_id}"
        if expected.run is None:
            self._report.say(f"{where}: price book {expected.missing_book} is not there")
            return
        totals = expected.run.totals
        if row is None:
            self._report.say(f"{where}: recorded, but not in `runs`")
        else:
            said = (row.status, row.tokens_in, row.tokens_out, row.tool_calls, row.charged_micro)
            made = (
                expected.run.state.status,
                *(totals[i] for i in (_TOKENS_IN, _TOKENS_OUT, _TOOL_CALLS, CHARGED)),
            )
            if said != made:
                self._report.say(f"{where}: `runs` says {said}, its events {made}")
            names = ("tokens_in", "tokens_out", "tool_calls", "charged")
            self._sums.clickhouse.update(dict(zip(names, said[1:], strict=True)))
        for entry in entries_of(expected.run):
            known = ledger.get(entry.entry_id)
            if known is None or known.amount_micro != entry.amount_micro:
                found = "nothing" if known is None else str(known.amount_micro)
                self._report.say(
                    f"{where}: ledger entry {entry.entry_id} is {found}, its events make {entry.amount_micro}"
                )

    async def _rollups(self, stored: Mapping[str, RunRow]) -> None:
        amounts = [(1, r.tokens_in, r.tokens_out, r.tool_calls, r.charged_micro) for r in stored.values()]
        made = tuple(map(sum, zip(*amounts, strict=True))) or (0, 0, 0, 0, 0)
        for table, said in (await self._stores.rolled_up(self._org)).items():
            if said != made:
                self._report.say(f"{self._org.org_id}: {table} says {said}, `runs` {made}")

    async def _counters(self, by_instance: Mapping[str, Totals]) -> None:
        for instance_id, totals in by_instance.items():
            counted = await self._stores.counters(self._org, instance_id)
            self._sums.redis.update(dict(zip(COUNTERS, counted, strict=True)))
            for name, expected, found in zip(COUNTERS, totals, counted, strict=True):
                if expected != found:
                    self._report.say(f"{instance_id}: counter {name} is {found}, its events make {expected}")

    async def _wallet(self, ledger: Mapping[str, Entry], charged: int) -> None:
        wallet = await self._stores.wallet(self._org)
        self._report.overdrawn += wallet.get("balance", 0) < 0
        by_kind: Counter[str] = Counter()
        for entry in ledger.values():
            by_kind[entry.kind] += entry.amount_micro
        said = {
            "granted": by_kind["grant"],
            "charged": -by_kind["usage"] - by_kind["adjustment"],
            "expired": -by_kind["expiry"],
            "voided": -by_kind["void"],
            "refunded": -by_kind["refund"],
        }
        where = self._org.org_id
        for name, amount in said.items():
            if wallet.get(name, 0) != amount:
                self._report.say(f"{where}: wallet {name} is {wallet.get(name, 0)}, its ledger says {amount}")
        if wallet.get("charged", 0) != charged:
            self._report.say(
                f"{where}: wallet charged is {wallet.get('charged', 0)}, its runs cost {charged}"
            )
        left = wallet.get("granted", 0) - sum(wallet.get(name, 0) for name in _TAKEN)
        # Credits that are not effective yet are granted and no balance: they can only be missing from it.
        if wallet.get("balance", 0) > left:
            self._report.say(f"{where}: balance is {wallet.get('balance', 0)}, granted less taken {left}")
        # Of charges Redis' side is in the counters already.
        self._sums.redis.update({**{n: wallet.get(n, 0) for n in said if n != "charged"}, "balance": left})
        self._sums.ledger.update({**said, "balance": sum(by_kind.values())})

    async def _holds(self) -> None:
        held = await self._stores.held(self._org)
        self._report.held_micro += held.wallet
        if not held.wallet == held.by_run == held.by_instance:
            sums = f"wallet {held.wallet}, runs {held.by_run}, instances {held.by_instance}"
            self._report.say(f"{self._org.org_id}: held differs: {sums}")
        for run_id in held.runs:
            if not await self._stores.has_lease(self._org, run_id):
                self._report.say(f"{self._org.org_id}/{run_id}: holds credits, but nobody runs it")
