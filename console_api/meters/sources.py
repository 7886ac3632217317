"""What a meter may read: the only tables, columns and expressions that reach its SQL.

A definition names a source (`event_type`) and paths (`$.tokens_in`); both are looked up here; nothing else
of a definition or a question is ever part of a statement but bound parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schemas import rows

EventType = Literal["run.started", "run.ended", "tool_call", "ledger_entry"]
Kind = Literal["number", "text"]


@dataclass(frozen=True)
class Column:
    """What a path stands for: an SQL expression of the source's rows."""

    sql: str
    kind: Kind


@dataclass(frozen=True)
class Source:
    """Rows that a meter counts, each thing once.

    `rows`: a SELECT's FROM … WHERE, where `{condition}` is whose rows and when; `at`: its time, by which
    it belongs to a window; `identity`: what tells two rows of one moment apart.
    """

    rows: str
    at: str
    identity: str
    columns: Mapping[str, Column]
    #: How many things one row is.
    count: str = "1"


def _numbers(*names: str) -> dict[str, Column]:
    return {name: Column(name, "number") for name in names}


def _texts(*names: str) -> dict[str, Column]:
    return {name: Column(f"toString({name})", "text") for name in names}


_RUN = {
    **_numbers(
        "tokens_in",
        "tokens_out",
        "input_uncached",
        "cache_read",
        "cache_write",
        "reasoning",
        "model_calls",
        "tool_calls",
        "duration_ms",
        "charged_micro",
    ),
    "tokens": Column("tokens_in + tokens_out", "number"),
    **_texts("org_id", "instance_id", "run_id", "status", "channel", "key_id", "model", "end_user"),
    **_texts("error_code", "price_version"),
    **{
        name: Column(f"if({name}, 'true', 'false')", "text")
        for name in ("streamed", "estimated", "unpriced", "skewed")
    },
}

#: FINAL folds a run's versions, and a ledger entry's, into the last one: late and corrected events are in it.
SOURCES: Mapping[EventType, Source] = {
    "run.started": Source("runs FINAL WHERE {condition}", "started_at", "run_id", _RUN),
    "run.ended": Source("runs FINAL WHERE {condition} AND status != 'started'", "started_at", "run_id", _RUN),
    "tool_call": Source(
        # An event may be stored twice: producers send again until they hear that it was taken.
        "tool_call_events WHERE {condition} LIMIT 1 BY org_id, run_id, tool_call_id",
        "occurred_at",
        "tool_call_id",
        {
            **_numbers("duration_ms"),
            **_texts(
                "org_id", "instance_id", "run_id", "channel", "key_id", "tool", "tool_call_id", "status"
            ),
        },
    ),
    "ledger_entry": Source(
        "ledger FINAL WHERE {condition}",
        "occurred_at",
        "entry_id",
        {
            **_numbers("amount_micro"),
            "credited_micro": Column("greatest(amount_micro, 0)", "number"),
            "debited_micro": Column("greatest(-amount_micro, 0)", "number"),
            **_texts("org_id", "entry_id", "kind", "account", "reference_id", "price_version"),
        },
    ),
}


def rollup_of(event_type: EventType, table: str) -> Source:
    """Return where a piece of the same rows stands added up: in a rollup, or, of single runs, as they are."""
    if table == rows.RUNS.name:
        return SOURCES[event_type]
    ended = " AND status != 'started'" if event_type == "run.ended" else ""
    return Source(
        f"{table} AS usage FINAL WHERE {{condition}} AND usage.runs > 0{ended}",
        "toDateTime64(usage.at, 3, 'UTC')",
        "''",
        _RUN,
        "usage.runs",
    )


def added_up_columns() -> frozenset[str]:
    """Return the columns of `runs` that the rollups have, too."""
    return frozenset({*rows.USAGE_DAYS.columns, "tokens"} & _RUN.keys())


def column(source: Source, path: str) -> Column | None:
    """Return what a path (`$.model`, or `model`) stands for, `None` if the source has no such thing."""
    return source.columns.get(path.removeprefix("$."))


def paths(source: Source, kind: Kind | None = None) -> list[str]:
    """Return the paths of a source, for an error's remedy."""
    return [f"$.{name}" for name, of in sorted(source.columns.items()) if kind in (None, of.kind)]
