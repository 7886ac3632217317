"""The warehouse's tables as the sink writes them: column names and ClickHouse types, in order.

The migrations create them; a test compares these with the live columns.
"""

from __future__ import annotations

from dataclasses import dataclass

_TIME = "DateTime64(3, 'UTC')"
_LOW = "LowCardinality(String)"


@dataclass(frozen=True)
class Table:
    """A table's columns, name → type."""

    name: str
    columns: dict[str, str]


_COORDINATES = {"_topic": _LOW, "_partition": "UInt16", "_offset": "UInt64"}
_WHOSE = {
    "tenant_id": _LOW,
    "org_id": "String",
    "instance_id": "String",
    "run_id": "String",
    "channel": _LOW,
    "key_id": "String",
    "price_version": _LOW,
    "started_at": _TIME,
    "occurred_at": _TIME,
    "recorded_at": _TIME,
}

RUN_EVENTS = Table(
    "run_events",
    {
        **_WHOSE,
        "status": _LOW,
        "model": _LOW,
        "tokens_in": "UInt64",
        "tokens_out": "UInt64",
        "duration_ms": "UInt64",
        "tool_calls": "UInt64",
        "credits_micro": "Int64",
        "streamed": "Bool",
        "end_user": "String",
        "error_code": _LOW,
        **_COORDINATES,
    },
)
TOKEN_EVENTS = Table(
    "token_events",
    {
        **_WHOSE,
        "call_id": "String",
        "seq": "UInt64",
        "model": _LOW,
        "input_uncached": "UInt64",
        "cache_read": "UInt64",
        "cache_write": "UInt64",
        "output": "UInt64",
        "reasoning": "UInt64",
        "final": "Bool",
        "source": _LOW,
        **_COORDINATES,
    },
)
TOOL_CALL_EVENTS = Table(
    "tool_call_events",
    {
        **_WHOSE,
        "tool_call_id": "String",
        "tool": _LOW,
        "duration_ms": "UInt64",
        "status": _LOW,
        **_COORDINATES,
    },
)
CORRECTIONS = Table(
    "corrections",
    {
        **_WHOSE,
        "request_id": "String",
        "kind": _LOW,
        "new_price_version": _LOW,
        "call_id": "String",
        "model": _LOW,
        "input_uncached": "UInt64",
        "cache_read": "UInt64",
        "cache_write": "UInt64",
        "output": "UInt64",
        "reasoning": "UInt64",
        "reason": "String",
        **_COORDINATES,
    },
)
LEDGER = Table(
    "ledger",
    {
        "tenant_id": _LOW,
        "org_id": "String",
        "entry_id": "String",
        "version": "UInt64",
        "kind": _LOW,
        "amount_micro": "Int64",
        "account": _LOW,
        "occurred_at": _TIME,
        "recorded_at": _TIME,
        "reference_id": "String",
        "price_version": _LOW,
        "reason": "String",
        **_COORDINATES,
    },
)
RUNS = Table(
    "runs",
    {
        "tenant_id": _LOW,
        "org_id": "String",
        "instance_id": "String",
        "run_id": "String",
        "version": "UInt64",
        "status": _LOW,
        "channel": _LOW,
        "key_id": "String",
        "model": _LOW,
        "streamed": "Bool",
        "end_user": "String",
        "error_code": _LOW,
        "started_at": _TIME,
        "closed_at": _TIME,
        "duration_ms": "UInt64",
        "tokens_in": "UInt64",
        "tokens_out": "UInt64",
        "input_uncached": "UInt64",
        "cache_read": "UInt64",
        "cache_write": "UInt64",
        "reasoning": "UInt64",
        "model_calls": "UInt64",
        "tool_calls": "UInt64",
        "charged_micro": "Int64",
        "price_version": _LOW,
        "estimated": "Bool",
        "unpriced": "Bool",
        "skewed": "Bool",
        "recorded_at": _TIME,
        **_COORDINATES,
    },
)
#: What was refused, by its place in the log: kept for longer than the log, as the rows of it are.
DEAD_LETTERS = Table(
    "dead_letters",
    {
        "topic": _LOW,
        "partition": "UInt16",
        "offset": "UInt64",
        "reason": _LOW,
        "detail": "String",
        "worker": _LOW,
        "recorded_at": _TIME,
        **_COORDINATES,
    },
)
ALL: tuple[Table, ...] = (
    RUN_EVENTS,
    TOKEN_EVENTS,
    TOOL_CALL_EVENTS,
    CORRECTIONS,
    LEDGER,
    RUNS,
    DEAD_LETTERS,
)

#: What the ingestion worker writes, through `kit.vectors`.
KNOWLEDGE_CHUNKS = Table(
    "knowledge_chunks",
    {
        "tenant_id": _LOW,
        "instance_id": "String",
        "source_id": "String",
        "version": "UInt64",
        "generation": "String",
        "ordinal": "UInt32",
        "chunk_id": "String",
        "title": "String",
        "url": "String",
        "section": "String",
        "page": "UInt32",
        "text": "String",
        "terms": "Array(String)",
        "tokens": "UInt32",
        "model": _LOW,
        "vector": "Array(Float32)",
    },
)
KNOWLEDGE_VERSIONS = Table(
    "knowledge_versions",
    {
        "tenant_id": _LOW,
        "instance_id": "String",
        "source_id": "String",
        "version": "UInt64",
        "generation": "String",
        "active": "Bool",
        "chunks": "UInt64",
        "tokens": "UInt64",
        "pages": "UInt64",
        "model": _LOW,
    },
)
KNOWLEDGE: tuple[Table, ...] = (KNOWLEDGE_CHUNKS, KNOWLEDGE_VERSIONS)


#: What is added up in a bucket.
SUMMED = {
    "tokens_in": "UInt64",
    "tokens_out": "UInt64",
    "input_uncached": "UInt64",
    "cache_read": "UInt64",
    "cache_write": "UInt64",
    "reasoning": "UInt64",
    "model_calls": "UInt64",
    "tool_calls": "UInt64",
    "duration_ms": "UInt64",
    "charged_micro": "Int64",
}


def _rollup(name: str) -> Table:
    return Table(
        name,
        {
            "tenant_id": _LOW,
            "org_id": "String",
            "instance_id": "String",
            "at": "DateTime('UTC')",
            "model": _LOW,
            "channel": _LOW,
            "key_id": "String",
            "status": _LOW,
            "version": "UInt64",
            "facts": "UInt64",
            "runs": "UInt64",
            **SUMMED,
            "durations": "AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float64, UInt8)",
            "recorded_at": _TIME,
        },
    )


USAGE_MINUTES, USAGE_HOURS, USAGE_DAYS = (
    _rollup(name) for name in ("usage_minutes", "usage_hours", "usage_days")
)
#: What the warehouse worker computes out of `runs`.
ROLLUPS: tuple[Table, ...] = (USAGE_MINUTES, USAGE_HOURS, USAGE_DAYS)
#: All that holds tenants' rows.
EVERY: tuple[Table, ...] = (*ALL, *KNOWLEDGE, *ROLLUPS)
#: Those whose every row is some tenant's, which its analysts may read.
OF_TENANTS: tuple[Table, ...] = tuple(table for table in EVERY if "tenant_id" in table.columns)
