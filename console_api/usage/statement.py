"""From a question to one SELECT: overall, by group, and by bucket and group, in one pass.

A statement takes longer to be planned than a rollup's rows to be read. So there is nothing in it but what its
question needs: the tables that its range is cut into, one kind of bucket, and a ranking only of groups.
"""

from __future__ import annotations

from console_api import rollups, sql
from console_api.usage import windows
from console_api.usage.models import MAX_GROUPS, OTHER, GroupBy, UsageQuestion
from console_api.usage.windows import UsageWindow
from schemas import rows
from schemas.directory import InstanceRecord

_BUCKETS: dict[UsageWindow, str] = {
    "minute": "toStartOfMinute(toTimeZone(at, {tz:String}))",
    "hour": "toStartOfHour(toTimeZone(at, {tz:String}))",
    "day": "toStartOfDay(toTimeZone(at, {tz:String}))",
}
_GROUPS: dict[GroupBy, str] = {
    "none": "''",
    "model": "toString(model)",
    "channel": "toString(channel)",
    "status": "toString(status)",
    "key_id": "key_id",
}
_ADDED = ("tokens_in", "tokens_out", "cache_read", "cache_write", "reasoning", "model_calls", "tool_calls")
_SUMS = {
    "started": "sum(runs)",
    "runs": "sumIf(runs, status != 'started')",
    **{
        status: f"sumIf(runs, status = '{status}')"
        for status in ("completed", "failed", "cancelled", "limit_exceeded", "lost")
    },
    **{name: f"sum({name})" for name in (*_ADDED, "duration_ms")},
    "credits_micro": "sum(charged_micro)",
    "recorded_at": "max(recorded_at)",
}
#: The same, of what was added up before.
_SUMS_OF_SUMS = {name: f"sum({name})" for name in _SUMS} | {"recorded_at": "max(recorded_at)"}
_STATE = "quantilesTDigestIfMergeState(0.5, 0.95, 0.99)(durations) AS durations"
_QUANTILES = "quantilesTDigestIfMerge(0.5, 0.95, 0.99)(durations) AS durations"
#: One thread: a rollup is read faster than several are told what to do.
_SETTINGS = "force_grouping_standard_compatibility = 1, prefer_column_name_to_alias = 1, max_threads = 1"

_READ = (
    f"at, model, channel, key_id, status, runs, {', '.join(_ADDED)}, duration_ms, charged_micro, durations"
)
_WHOSE = "tenant_id = {tenant_id:String} AND org_id = {org_id:String} AND instance_id = {instance_id:String}"


def usage(instance: InstanceRecord, question: UsageQuestion) -> tuple[str, dict[str, object]]:
    """Return the SELECT and what is bound in it.

    Its rows: `level` (0 overall, 1 group, 2 bucket and group), `bucket_ms`, `group_key`, sums, `durations`.
    All groups but those that cost most are added up under one key.
    """
    unit_ms = windows.unit(question.window, question.span, question.tz)
    pieces = rollups.cut(question.span, unit_ms=unit_ms)
    read = " UNION ALL ".join(_rows(table, rollups.when(table, of)) for table, of in pieces.items())
    bucket, group = _BUCKETS[question.window], _GROUPS[question.group_by]
    found = f"SELECT *, toUnixTimestamp({bucket}) * 1000 AS bucket_ms, {group} AS group_key FROM ({read})"
    # Digests are dear to merge, so rows are added up once, and only what comes of it for each of the levels.
    added = (
        f"SELECT bucket_ms, group_key, {_named(_SUMS)}, {_STATE} FROM ({found}) GROUP BY bucket_ms, group_key"
    )
    text = f"""SELECT
    multiIf(grouping(bucket_ms) = 0, 2, grouping(group_key) = 0, 1, 0) AS level, bucket_ms, group_key,
    {_named(_SUMS_OF_SUMS)}, {_QUANTILES}
FROM ({added if question.group_by == "none" else _ranked(added)})
GROUP BY GROUPING SETS ((), (group_key), (bucket_ms, group_key))
SETTINGS {_SETTINGS}"""
    return text, {**sql.scope(instance), "tz": question.tz.key, "other": OTHER}


def _rows(table: str, when: str) -> str:
    """Return a SELECT of a table's rows, `runs` in the shape of a rollup.

    FINAL leaves of each row the newest, and of a run its last version, whether or not the parts were merged.
    """
    if table != rows.RUNS.name:
        return f"SELECT {_READ}, recorded_at FROM {table} FINAL WHERE {_WHOSE} AND {when} AND runs > 0"
    return f"""SELECT
    toStartOfMinute(started_at) AS at, model, channel, key_id, status, count() AS runs,
    {", ".join(f"sum({name})" for name in (*_ADDED, "duration_ms", "charged_micro"))},
    quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat64(duration_ms), status != 'started'), max(recorded_at)
FROM {table} FINAL
WHERE {_WHOSE} AND {when}
GROUP BY at, model, channel, key_id, status"""


def _ranked(added: str) -> str:
    """Return the same, with all groups under one key but those that cost most."""
    place = "dense_rank() OVER (ORDER BY cost DESC, count DESC, name)"
    return f"""SELECT * EXCEPT name, if({place} <= {MAX_GROUPS}, name, {{other:String}}) AS group_key
FROM
(
    SELECT
        * EXCEPT group_key, group_key AS name,
        sum(credits_micro) OVER (PARTITION BY name) AS cost, sum(started) OVER (PARTITION BY name) AS count
    FROM ({added})
)"""


def _named(expressions: dict[str, str]) -> str:
    return ", ".join(f"{expression} AS {name}" for name, expression in expressions.items())
