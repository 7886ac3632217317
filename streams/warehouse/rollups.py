"""Usage by minute, hour and day: the buckets that an insert touched are computed anew, and written whole.

A bucket is a function of the runs in it, so computing it twice, or by two workers, changes nothing, and of
two answers the one that saw more facts stays (`version`; see migration 5). It happens between the insert and
the next plan: a worker that dies in between leaves its plan open, and whoever repeats it computes again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client

from schemas import rows
from streams.warehouse import cluster

#: Tenant, org, instance, and the start of a minute, hour or day, in Unix seconds.
Bucket = tuple[str, str, str, int]

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
#: Buckets that one statement computes: their names are its text.
_AT_ONCE = 1_000
SETTINGS: dict[str, Any] = {
    "max_query_size": 8_388_608,
    # A run's versions share a partition, and so do a bucket's.
    "do_not_merge_across_partitions_select_final": 1,
    **cluster.SETTINGS,
}

_WHOSE = "tenant_id, org_id, instance_id"
_KIND = "model, channel, key_id, status"
_SUMS = [f"sum(part.{name})" for name in rows.SUMMED]
_COLUMNS = ", ".join(rows.USAGE_MINUTES.columns)
_VERSION = f"sum(facts) OVER (PARTITION BY {_WHOSE}, bucket)"

#: What was a row of a bucket stays one, with nothing in it: otherwise its last figures would stand for ever.
_MINUTES = f"""INSERT INTO usage_minutes ({_COLUMNS})
SELECT
    {_WHOSE}, bucket, {_KIND}, {_VERSION}, sum(part.version) AS facts, sum(there), {", ".join(_SUMS)},
    quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat64(part.duration_ms), there AND status != 'started'),
    max(part.recorded_at)
FROM
(
    SELECT {_WHOSE}, toStartOfMinute(started_at) AS bucket, {_KIND}, version, 1 AS there,
        {", ".join(rows.SUMMED)}, recorded_at
    FROM runs FINAL
    WHERE {{of_runs}}
    UNION ALL
    SELECT {_WHOSE}, at AS bucket, {_KIND}, 0 AS version, 0 AS there,
        {", ".join(f"0 AS {name}" for name in rows.SUMMED)}, fromUnixTimestamp64Milli(0, 'UTC') AS recorded_at
    FROM usage_minutes
    WHERE {{of_buckets}}
) AS part
GROUP BY {_WHOSE}, bucket, {_KIND}"""  # noqa: S608 - our own names
_COARSER = f"""INSERT INTO {{into}} ({_COLUMNS})
SELECT
    {_WHOSE}, {{start}}(at) AS bucket, {_KIND}, {_VERSION}, sum(part.facts) AS facts, sum(part.runs),
    {", ".join(_SUMS)}, quantilesTDigestIfMergeState(0.5, 0.95, 0.99)(part.durations), max(part.recorded_at)
FROM {{source}} AS part FINAL
WHERE {{of_buckets}}
GROUP BY {_WHOSE}, bucket, {_KIND}"""  # noqa: S608 - our own names
#: Width in seconds, ClickHouse's name of the start, SQL. Hours are made of minutes, and days of hours.
_STEPS = (
    (_MINUTE_S, "toStartOfMinute", _MINUTES),
    (
        _HOUR_S,
        "toStartOfHour",
        _COARSER.replace("{into}", "usage_hours")
        .replace("{source}", "usage_minutes")
        .replace("{start}", "toStartOfHour"),
    ),
    (
        _DAY_S,
        "toStartOfDay",
        _COARSER.replace("{into}", "usage_days")
        .replace("{source}", "usage_hours")
        .replace("{start}", "toStartOfDay"),
    ),
)


def touched(made: Iterable[Sequence[Any]]) -> set[Bucket]:
    """Return the minutes that these rows of `runs` belong to."""
    names = list(rows.RUNS.columns)
    whose = [names.index(name) for name in ("tenant_id", "org_id", "instance_id")]
    at = names.index("started_at")
    return {(*(row[i] for i in whose), _floor(int(row[at].timestamp()), _MINUTE_S)) for row in made}


async def refresh(client: AsyncClient, minutes: set[Bucket]) -> AsyncIterator[None]:
    """Compute these minutes, and the hours and days around them, anew; yield after each statement.

    Raises `ClickHouseError`.
    """
    for sql, parameters in statements(minutes):
        await client.command(sql, parameters=parameters, settings=SETTINGS)
        yield


def rebuild(client: Client, day: date) -> None:
    """Compute all buckets of one day (UTC) anew, of all tenants. Raises `ClickHouseError`."""
    first, after = _start(day), _start(day + timedelta(days=1))
    for _, _, sql in _STEPS:
        of_runs, of_buckets = (
            f"{column} >= toDateTime({first}, 'UTC') AND {column} < toDateTime({after}, 'UTC')"
            for column in ("started_at", "at")
        )
        client.command(sql.format(of_runs=of_runs, of_buckets=of_buckets), settings=SETTINGS)


def fill(client: Client) -> None:
    """Compute the buckets of all runs that there are, a day at a time. Raises `ClickHouseError`."""
    days = "SELECT DISTINCT toDate(started_at, 'UTC') AS day FROM runs ORDER BY day"
    for (day,) in client.query(days).result_rows:
        rebuild(client, day)


def differences(client: Client, day: date) -> list[str]:
    """Return which rollups of a day (UTC) do not add up to its runs. Raises `ClickHouseError`."""
    sums = ", ".join(f"sum(part.{name})" for name in rows.SUMMED)
    bound = {"from": _start(day), "to": _start(day + timedelta(days=1))}
    between = "{at} >= toDateTime({{from:Int64}}, 'UTC') AND {at} < toDateTime({{to:Int64}}, 'UTC')"

    def asked(count: str, table: str, at: str) -> list[Any]:
        sql = f"SELECT {count}, {sums} FROM {table} AS part FINAL WHERE {between.format(at=at)}"  # noqa: S608
        return list(client.query(sql, parameters=bound, settings=SETTINGS).result_rows)

    wanted = asked("count()", rows.RUNS.name, "started_at")
    return [t.name for t in rows.ROLLUPS if asked("sum(part.runs)", t.name, "at") != wanted]


def statements(minutes: set[Bucket]) -> list[tuple[str, dict[str, Any]]]:
    """Return what computes them, in order: SQL, and the values that the client puts in it."""
    made: list[tuple[str, dict[str, Any]]] = []
    for width_s, start, sql in _STEPS:
        wider = sorted({(*whose, _floor(at, width_s)) for *whose, at in minutes})
        of_runs, of_buckets = (f"({_WHOSE}, {start}({at})) IN %(buckets)s" for at in ("started_at", "at"))
        text = sql.format(of_runs=of_runs, of_buckets=of_buckets)
        for n in range(0, len(wider), _AT_ONCE):
            made.append((text, {"buckets": tuple(wider[n : n + _AT_ONCE])}))
    return made


def _start(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _floor(at_s: int, width_s: int) -> int:
    return at_s - at_s % width_s
