"""What must be true of a stack's outputs once it is quiet, computed anew.

Shares no code with the product: events are folded, priced and added up here by their documented meaning, so
that a mistake in the product's arithmetic cannot hide in the judge. Input are plain values that `witnesses`
read from Kafka, Redis and ClickHouse.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Coordinate = tuple[str, int, int]
Kind = Literal["lost", "doubled", "overspent", "other"]
Json = dict[str, Any]

#: Topic → the table that holds one row for each of its records.
RAW_TABLES = {
    "usage.runs": "run_events",
    "usage.tokens": "token_events",
    "usage.tool_calls": "tool_call_events",
}
_BUCKETS = ("input_uncached", "cache_read", "cache_write", "output", "reasoning")
_FIGURES = ("tokens_in", "tokens_out", "tool_calls", "charged")
_RANKS = {"started": 0, "lost": 1}
_REAL_ENDING = 2
_TAKEN = ("expired", "voided", "refunded")


@dataclass(frozen=True)
class Told:
    """One run as its client was answered."""

    run_id: str
    status: str
    error_code: str
    tokens_in: int
    tokens_out: int
    tool_calls: int
    charged: int


@dataclass(frozen=True)
class Letter:
    """A dead letter: which record was refused, by whom and why."""

    record: Coordinate
    worker: str
    reason: str


@dataclass
class Outputs:
    """Everything the judge looks at."""

    told: dict[str, Told] = field(default_factory=dict)
    #: The log, without what was planted as poison.
    log: dict[Coordinate, Json] = field(default_factory=dict)
    planted: set[Coordinate] = field(default_factory=set)
    letters: list[Letter] = field(default_factory=list)
    books: dict[str, Json] = field(default_factory=dict)
    #: Org → the fields of its wallet.
    wallets: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Instance → its all-time counters.
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    #: What should be gone when nothing runs: holds, leases, outbox entries; by name.
    leftovers: dict[str, int] = field(default_factory=dict)
    #: Rows of `runs FINAL` and `ledger FINAL`.
    runs: list[Json] = field(default_factory=list)
    ledger: list[Json] = field(default_factory=list)
    #: Raw table → coordinates of its rows, as often as they are there.
    stored: dict[str, Counter[Coordinate]] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """Something that is not as it must be. `of` is the run, wallet or record."""

    kind: Kind
    of: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.of}: {self.what}"


@dataclass
class Folded:
    """A run as the log tells it."""

    org: str
    instance: str
    book: str
    phase: tuple[int, int, str] = (-1, 0, "")
    calls: dict[str, Json] = field(default_factory=dict)
    tools: dict[str, Json] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return self.phase[2] or "started"

    def figures(self, books: Mapping[str, Json]) -> dict[str, int]:
        """Return tokens, tool calls and the price."""
        calls = self.calls.values()
        return {
            "tokens_in": sum(c["input_uncached"] + c["cache_read"] + c["cache_write"] for c in calls),
            "tokens_out": sum(c["output"] for c in calls),
            "tool_calls": len(self.tools),
            "charged": price(self, books[self.book]),
        }


def judge(outputs: Outputs) -> list[Difference]:
    """Return all differences; none means that every acknowledged run is there and charged exactly once."""
    runs = fold(outputs.log)
    figures = {run_id: run.figures(outputs.books) for run_id, run in runs.items()}
    return [
        *_answers(outputs, runs),
        *_runs(outputs, runs, figures),
        *_wallets(outputs, runs, figures),
        *_ledger(outputs, runs, figures),
        *_counters(outputs, runs, figures),
        *_stored(outputs),
        *_letters(outputs),
        *_corrections(outputs),
        *(Difference("other", name, f"{count} left") for name, count in outputs.leftovers.items() if count),
    ]


def fold(log: Mapping[Coordinate, Json]) -> dict[str, Folded]:
    """Return the runs of a log: of each call its last word, of each tool call one, the furthest phase."""
    runs: dict[str, Folded] = {}
    for (topic, _, _), event in log.items():
        if topic not in RAW_TABLES:
            continue
        run = runs.setdefault(
            event["run_id"], Folded(event["org_id"], event["instance_id"], event["price_version"])
        )
        if topic == "usage.runs":
            rank = _RANKS.get(event["status"], _REAL_ENDING)
            run.phase = max(run.phase, (rank, event["occurred_at_ms"], event["status"]))
        elif topic == "usage.tokens":
            call = {"model": event["model"], **{name: event.get(name, 0) for name in _BUCKETS}}
            call["word"] = (event.get("final", False), event["seq"], call["output"], call["input_uncached"])
            known = run.calls.get(event["call_id"])
            if known is None or call["word"] > known["word"]:
                run.calls[event["call_id"]] = call
        else:
            run.tools[event["tool_call_id"]] = event
    return runs


def price(run: Folded, book: Json) -> int:
    """Return what a run costs in micro-credits: each call rounded up by itself, then tools and the fee."""
    total = 0
    for call in run.calls.values():
        rates = book["models"].get(call["model"], book["default"])
        size = call["input_uncached"] + call["cache_read"] + call["cache_write"]
        for tier in book.get("tiers", {}).get(call["model"], ()):
            if size > tier["above_input_tokens"]:
                rates = tier["rates"]
        reasoning = min(call["reasoning"], call["output"])
        millionths = (
            call["input_uncached"] * rates["input"]
            + call["cache_read"] * rates["cache_read"]
            + call["cache_write"] * rates["cache_write"]
            + (call["output"] - reasoning) * rates["output"]
            + reasoning * rates["reasoning"]
        )
        total += (millionths + 999_999) // 1_000_000
    for tool in run.tools.values():
        total += book.get("tools", {}).get(tool["tool"], book.get("per_tool_call", 0))
    if run.calls or run.tools:
        total += book.get("per_run", 0)
    return total


def _answers(outputs: Outputs, runs: Mapping[str, Folded]) -> Iterator[Difference]:
    rows = Counter(row["run_id"] for row in outputs.runs)
    stored = {row["run_id"]: row for row in outputs.runs}
    for run_id, told in outputs.told.items():
        if run_id not in runs:
            yield Difference("lost", run_id, "acknowledged, not in the log")
        if rows[run_id] != 1:
            kind: Kind = "doubled" if rows[run_id] else "lost"
            yield Difference(kind, run_id, f"acknowledged, {rows[run_id]} rows in runs")
            continue
        # The answer for a runner that died is the gateway's best knowledge. What that runner had reported and
        # not yet said counts too, so only the price of what is in the log can be held against it.
        if told.error_code == "runner_lost":
            continue
        row = stored[run_id]
        said = (told.status, *(getattr(told, name) for name in _FIGURES))
        kept = (row["status"], *(int(row[_column(name)]) for name in _FIGURES))
        if said != kept:
            kind = "lost" if kept[-1] < said[-1] else "doubled" if kept[-1] > said[-1] else "other"
            yield Difference(kind, run_id, f"answered {said}, stored {kept}")


def _column(figure: str) -> str:
    return "charged_micro" if figure == "charged" else figure


def _runs(
    outputs: Outputs, runs: Mapping[str, Folded], figures: Mapping[str, dict[str, int]]
) -> Iterator[Difference]:
    stored = {row["run_id"]: row for row in outputs.runs}
    for run_id, count in Counter(row["run_id"] for row in outputs.runs).items():
        if run_id not in runs:
            yield Difference("other", run_id, "in runs, not in the log")
        if count > 1 and run_id not in outputs.told:
            yield Difference("doubled", run_id, f"{count} rows in runs")
    for run_id, run in runs.items():
        if run.status == "started":
            yield Difference("other", run_id, "began and has not ended")
        row = stored.get(run_id)
        if row is None:
            if run_id not in outputs.told:
                yield Difference("lost", run_id, "in the log, not in runs")
            continue
        owed = {**figures[run_id], "status": run.status}
        kept = {**{name: int(row[_column(name)]) for name in _FIGURES}, "status": row["status"]}
        if kept != owed:
            yield Difference(
                _kind(kept["charged"], owed["charged"]), run_id, f"runs says {kept}, the log {owed}"
            )


def _kind(found: int, expected: int) -> Kind:
    return "lost" if found < expected else "doubled" if found > expected else "other"


def _wallets(
    outputs: Outputs, runs: Mapping[str, Folded], figures: Mapping[str, dict[str, int]]
) -> Iterator[Difference]:
    owed: Counter[str] = Counter()
    for run_id, run in runs.items():
        owed[run.org] += figures[run_id]["charged"]
    granted = _granted(outputs)
    for org in sorted({*owed, *granted, *outputs.wallets}):
        wallet = outputs.wallets.get(org, {})
        charged, given = wallet.get("charged", 0), wallet.get("granted", 0)
        if charged != owed[org]:
            what = f"charged {charged}, its runs cost {owed[org]}"
            yield Difference(_kind(charged, owed[org]), org, what)
        if given != granted[org]:
            yield Difference(_kind(given, granted[org]), org, f"granted {given}, the log {granted[org]}")
        balance = wallet.get("balance", 0)
        should = given - charged - sum(wallet.get(name, 0) for name in _TAKEN)
        if balance != should:
            yield Difference("other", org, f"balance {balance}, its parts make {should}")
        if balance < 0:
            yield Difference("overspent", org, f"balance {balance}")
        if held := wallet.get("held", 0):
            yield Difference("other", org, f"{held} still held though nothing runs")


def _granted(outputs: Outputs) -> Counter[str]:
    """Return what each org was given, every grant once."""
    seen: dict[tuple[str, str], int] = {}
    for (topic, _, _), event in outputs.log.items():
        if topic == "credits.grants" and event.get("action", "issue") == "issue":
            seen[event["org_id"], event["grant_id"]] = event["amount_micro"]
    granted: Counter[str] = Counter()
    for (org, _), amount in seen.items():
        granted[org] += amount
    return granted


def _ledger(
    outputs: Outputs, runs: Mapping[str, Folded], figures: Mapping[str, dict[str, int]]
) -> Iterator[Difference]:
    by_kind: defaultdict[str, Counter[str]] = defaultdict(Counter)
    by_run: Counter[str] = Counter()
    for entry in outputs.ledger:
        by_kind[entry["org_id"]][entry["kind"]] += int(entry["amount_micro"])
        if entry["kind"] in ("usage", "adjustment"):
            by_run[entry["reference_id"]] -= int(entry["amount_micro"])
    for run_id in sorted(by_run.keys() | runs.keys()):
        owed = figures[run_id]["charged"] if run_id in figures else 0
        if by_run[run_id] != owed:
            what = f"ledger {by_run[run_id]}, the run costs {owed}"
            yield Difference(_kind(by_run[run_id], owed), run_id, what)
    for org, wallet in outputs.wallets.items():
        sums = by_kind[org]
        pairs = (
            ("charged", -sums["usage"] - sums["adjustment"]),
            ("granted", sums["grant"]),
            ("expired", -sums["expiry"]),
            ("voided", -sums["void"]),
            ("refunded", -sums["refund"]),
        )
        for name, amount in pairs:
            if wallet.get(name, 0) != amount:
                what = f"{name}: ledger {amount}, wallet {wallet.get(name, 0)}"
                yield Difference(_kind(amount, wallet.get(name, 0)), org, what)


def _counters(
    outputs: Outputs, runs: Mapping[str, Folded], figures: Mapping[str, dict[str, int]]
) -> Iterator[Difference]:
    expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for run_id, run in runs.items():
        expected[run.instance].update(figures[run_id])
        expected[run.instance]["runs"] += run.status != "started"
    for instance, sums in expected.items():
        counted = outputs.counters.get(instance, {})
        for name in ("runs", *_FIGURES):
            if counted.get(name, 0) != sums[name]:
                what = f"counter {name} {counted.get(name, 0)}, the log {sums[name]}"
                yield Difference(_kind(counted.get(name, 0), sums[name]), instance, what)


def _stored(outputs: Outputs) -> Iterator[Difference]:
    for topic, table in RAW_TABLES.items():
        expected = {at for at in outputs.log if at[0] == topic}
        found = outputs.stored.get(table, Counter())
        for at in sorted(expected - found.keys()):
            yield Difference("lost", _name(at), f"not in {table}")
        for at in sorted(found.keys() - expected):
            yield Difference("other", _name(at), f"in {table}, not in the log")
        for at, count in found.items():
            if count > 1:
                yield Difference("doubled", _name(at), f"{count} rows in {table}")


def _letters(outputs: Outputs) -> Iterator[Difference]:
    # The warehouse refuses what metering does: one record may have a letter of each.
    refused = {letter.record: letter for letter in outputs.letters}
    for at in sorted(outputs.planted - refused.keys()):
        yield Difference("lost", _name(at), "poison without a dead letter")
    for at in sorted(refused.keys() - outputs.planted):
        yield Difference("other", _name(at), f"a dead letter that nobody planted: {refused[at].reason}")


def _corrections(outputs: Outputs) -> Iterator[Difference]:
    """The harness sends none; should a stack have one, the prices above would be wrong without a word."""
    for at in outputs.log:
        if at[0] == "usage.corrections":
            yield Difference("other", _name(at), "a correction, which this judge does not price")


def _name(at: Coordinate) -> str:
    return f"{at[0]}/{at[1]}@{at[2]}"
