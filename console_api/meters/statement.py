"""From a meter and a question to one SELECT.

Every piece of it is written here, in `sources` or in `windows`; what callers send is bound as parameters. The
one thing that is not is the name of a dimension, which `models.Dimension` keeps to letters, digits and `_`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from console_api import rollups
from console_api.auth.models import Principal
from console_api.meters import windows
from console_api.meters.models import MAX_TOP, OTHER, Format, Meter, MeterQuestion
from console_api.meters.sources import SOURCES, Column, Source, added_up_columns, column, rollup_of
from console_api.times import Range
from schemas import rows

#: Of every meter: the org, which OpenMeter calls the subject.
SUBJECT = "org_id"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FORMATS: dict[Format, str] = {
    "json": "JSONEachRow",
    "csv": "CSVWithNames",
    "parquet": "Parquet",
    "arrow": "ArrowStream",
}
#: `{measure}` of rows where `{where}`; nothing to take it of is NULL, but no rows are 0.
_AGGREGATES = {
    "sum": "sumIf({measure}, {where})",
    "count": "sumIf({measure}, {where})",
    "unique": "uniqExactIf({measure}, {where})",
    "avg": "avgOrNullIf({measure}, {where})",
    "min": "minOrNullIf({measure}, {where})",
    "max": "maxOrNullIf({measure}, {where})",
    "latest": "argMaxOrNullIf({measure}, (at, identity), {where})",
    "percentile": "quantileTDigestOrNullIf({level:.6f})({measure}, {where})",
}
_ISO = "concat(replaceOne(toString(toTimeZone({}, 'UTC')), ' ', 'T'), 'Z')"
#: A spreadsheet takes what begins so for a formula.
_HARMLESS = "if(match({0}, '^[=+\\\\-@\\\\t\\\\r]'), concat('\\'', {0}), {0})"


@dataclass(frozen=True)
class Statement:
    """SQL and what is bound in it."""

    sql: str
    parameters: dict[str, object]


def dimensions(meter: Meter) -> dict[str, str]:
    """Return what a meter may be grouped and filtered by, name → path."""
    return {SUBJECT: f"$.{SUBJECT}", **meter.group_by}


def added_up(meter: Meter, question: MeterQuestion) -> bool:
    """Return whether the rollups can answer: few rows are left then, and `values` ranks groups on its own."""
    if not meter.event_type.startswith("run.") or meter.aggregation not in ("sum", "count"):
        return False
    paths = dimensions(meter)
    wanted = {paths[name] for name in (*question.group_by, *question.filters)}
    wanted |= {meter.value_path} if meter.value_path else set()
    return {path.removeprefix("$.") for path in wanted} <= added_up_columns()


def largest(whose: Principal, meter: Meter, question: MeterQuestion) -> Statement:
    """Return a SELECT of the `top_n` groups' `keys`, by the value of the whole range."""
    rows, parameters = _rows(whose, meter, question, question.span.from_ms)
    value = _aggregate(meter, "true")
    sql = f"""SELECT {_keys(question)} AS keys
FROM ({rows})
GROUP BY keys
ORDER BY {value} DESC NULLS LAST, keys
LIMIT {{top_n:UInt32}}"""
    return Statement(sql, {**parameters, "top_n": question.top_n})


def values(
    whose: Principal,
    meter: Meter,
    question: MeterQuestion,
    kept: list[list[str]] | None,
    form: Format,
) -> Statement:
    """Return the SELECT that answers the question, in a form.

    `kept`: the groups that are not `other`, if it is limited to the largest and does not rank them itself.
    """
    before = windows.previous(question) if question.compare else None
    earliest_ms = before.from_ms if before else question.span.from_ms
    rows, parameters = _rows(whose, meter, question, earliest_ms)
    counting = windows.counting(question.window)
    number = counting.number.replace("{base:Int64}", "if(earlier, {previous_base:Int64}, {base:Int64})")
    groups = [f"if(is_other, {{other:String}}, d{i}) AS g{i}" for i in range(len(question.group_by))]
    is_other = "false"
    if kept is not None:
        is_other = f"NOT has({{kept:Array(Array(String))}}, {_keys(question)})"
    elif question.top_n is not None:
        rows, is_other = _placed(rows, question), "place > {top_n:UInt32}"
        parameters["top_n"] = question.top_n
    sql = f"""SELECT {_columns(question, counting, form)}
FROM
(
    SELECT
        {number} AS n,
        {"".join(f"{group}, " for group in groups)}
        is_other,
        {_aggregate(meter, "NOT earlier")} AS value_now,
        {_aggregate(meter, "earlier")} AS value_before
    FROM
    (
        SELECT
            *,
            at < fromUnixTimestamp64Milli({{from_ms:Int64}}, 'UTC') AS earlier,
            toDate32(toTimeZone(at, {{tz:String}})) AS local_day,
            {is_other} AS is_other
        FROM ({rows})
    )
    GROUP BY n, is_other{"".join(f", g{i}" for i in range(len(groups)))}
)
ORDER BY n, is_other{"".join(f", g{i}" for i in range(len(groups)))}
FORMAT {_FORMATS[form]}"""
    span, tz = question.span, question.tz
    bound: dict[str, object] = {
        "to_ms": span.to_ms,
        "tz": tz.key,
        "base": windows.base(question.window, span.from_ms, tz),
        "previous_base": windows.base(question.window, earliest_ms, tz),
        "other": OTHER,
    }
    if kept is not None:
        bound["kept"] = kept
    return Statement(sql, {**parameters, **bound})


def _rows(
    whose: Principal, meter: Meter, question: MeterQuestion, earliest_ms: int
) -> tuple[str, dict[str, object]]:
    """Return a SELECT of the rows that count (`at`, `identity`, `measure`, `d0` …) and its parameters."""
    paths = dimensions(meter)
    conditions = ["tenant_id = {tenant_id:String}"]
    parameters: dict[str, object] = {
        "tenant_id": whose.tenant_id,
        "earliest_ms": earliest_ms,
        "from_ms": question.span.from_ms,
        "to_ms": question.span.to_ms,
    }
    if whose.org_id:
        conditions.append("org_id = {org_id:String}")
        parameters["org_id"] = whose.org_id
    for i, (name, wanted) in enumerate(question.filters.items()):
        conditions.append(f"has({{f{i}:Array(String)}}, {_column(meter, paths[name]).sql})")
        parameters[f"f{i}"] = list(wanted)
    if added_up(meter, question):
        return _added_up(meter, question, earliest_ms, conditions), parameters
    source = SOURCES[meter.event_type]
    between = _between(source.at, "{earliest_ms:Int64}", "{to_ms:Int64}")
    return _select(source, meter, question, [*conditions, between]), parameters


def _select(source: Source, meter: Meter, question: MeterQuestion, conditions: list[str]) -> str:
    paths = dimensions(meter)
    measure = _column(meter, meter.value_path).sql if meter.value_path else source.count
    picked = [f"{source.at} AS at", f"{source.identity} AS identity", f"{measure} AS measure"]
    picked += [f"{_column(meter, paths[name]).sql} AS d{i}" for i, name in enumerate(question.group_by)]
    rows = source.rows.format(condition=" AND ".join(conditions))
    return f"SELECT {', '.join(picked)} FROM {rows}"


def _added_up(meter: Meter, question: MeterQuestion, earliest_ms: int, conditions: list[str]) -> str:
    """Return a SELECT of the same rows from the rollups, one for each of their moments and groups."""
    before = Range(earliest_ms, question.span.from_ms)
    # The period before ends where this one begins, which need not be between two buckets.
    spans = [before, question.span] if earliest_ms < question.span.from_ms else [question.span]
    whole = Range(earliest_ms, question.span.to_ms)
    pieces = rollups.cut(*spans, unit_ms=windows.unit(question.window, whole, question.tz))
    found = []
    for table, of in pieces.items():
        when = rollups.when(table, of, "" if table == rows.RUNS.name else "usage.")
        source = rollup_of(meter.event_type, table)
        found.append(_select(source, meter, question, [*conditions, when]))
    # Few are left for what is asked of each row: its window, and whether its group is one of the largest.
    groups = "".join(f", d{i}" for i in range(len(question.group_by)))
    return (
        f"SELECT at, '' AS identity, sum(measure) AS measure{groups} "
        f"FROM ({' UNION ALL '.join(found)}) GROUP BY at{groups}"
    )


def _placed(rows: str, question: MeterQuestion) -> str:
    """Return the rows with the `place` of their group, by the value of the range itself.

    A group that is only in the period before has none: it is behind the last.
    """
    now = "at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')"
    place = f"if(there, dense_rank() OVER (ORDER BY there DESC, of_group DESC, keys), {MAX_TOP + 1})"
    return f"""SELECT *, {place} AS place
FROM
(
    SELECT
        *, {_keys(question)} AS keys,
        max({now}) OVER (PARTITION BY keys) AS there,
        sumIf(measure, {now}) OVER (PARTITION BY keys) AS of_group
    FROM ({rows})
)"""


def _between(at: str, start: str, end: str) -> str:
    first, last = (f"fromUnixTimestamp64Milli({moment}, 'UTC')" for moment in (start, end))
    return f"{at} >= {first} AND {at} < {last}"


def _column(meter: Meter, path: str) -> Column:
    found = column(SOURCES[meter.event_type], path)
    if found is None:
        raise ValueError(f"{meter.slug}: {meter.event_type} has no {path}")
    return found


def _aggregate(meter: Meter, where: str) -> str:
    return _AGGREGATES[meter.aggregation].format(measure="measure", where=where, level=meter.percentile or 0)


def _keys(question: MeterQuestion) -> str:
    # Typed, because without a dimension an array has no type of its own.
    names = ", ".join(f"d{i}" for i in range(len(question.group_by)))
    return f"CAST([{names}], 'Array(String)')"


def _columns(question: MeterQuestion, counting: windows.Counting, form: Format) -> str:
    names = question.group_by
    if not all(_NAME.fullmatch(name) for name in names):
        raise ValueError(f"not names: {names}")
    start, end = (
        f"toTimeZone({moment}, 'UTC')" if form in ("parquet", "arrow") else _ISO.format(moment)
        for moment in (counting.start, counting.end)
    )
    shown = [_HARMLESS.format(f"g{i}") if form == "csv" else f"g{i}" for i in range(len(names))]
    subject = shown[names.index(SUBJECT)] if SUBJECT in names else "CAST(NULL, 'Nullable(String)')"
    columns = [f"{start} AS window_start", f"{end} AS window_end", f"{subject} AS subject"]
    if form == "json":
        pairs = ", ".join(f"'{name}', {sql}" for name, sql in zip(names, shown, strict=True))
        columns += [f"CAST(map({pairs}), 'Map(String, String)') AS group_by"]
    else:
        columns += [f"{sql} AS `{name}`" for name, sql in zip(names, shown, strict=True)]
    columns += ["is_other" if form in ("parquet", "arrow") else "CAST(is_other, 'Bool') AS is_other"]
    columns += ["value_now AS value"]
    if question.compare:
        columns += ["value_before AS previous"]
    elif form == "json":
        columns += ["NULL AS previous"]
    return ",\n    ".join(columns)
