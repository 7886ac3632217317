"""Raw rows → what every run of an organisation should have been charged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient
from msgspec import Struct

from metering.corrections import corrected_cost, versions_of
from metering.metered import MeteredRun
from metering.prices import PriceBook
from metering.runs import MeteredEvent, RunState, fold
from metering.totals import totals_of
from schemas import rows
from schemas.events import CorrectionEvent, RunEvent, TokenEvent, ToolCallEvent

#: A record's place in the log: topic, partition, offset.
Coordinate = tuple[str, int, int]

_RAW: tuple[tuple[rows.Table, type[Any]], ...] = (
    (rows.RUN_EVENTS, RunEvent),
    (rows.TOKEN_EVENTS, TokenEvent),
    (rows.TOOL_CALL_EVENTS, ToolCallEvent),
    (rows.CORRECTIONS, CorrectionEvent),
)
#: Runs folded at once: what bounds the memory, whatever an organisation's size.
_RUNS_AT_ONCE = 50_000
_COUNT = """
SELECT uniqExact(run_id) FROM run_events
WHERE org_id = {org:String} AND started_at >= {since:DateTime64(3)}
"""


class Org(Struct, frozen=True, order=True):
    """An organisation of a tenant."""

    tenant_id: str
    org_id: str


class Expected(Struct):
    """One run as its events say it should stand. `missing_book` names the price book that is not there."""

    instance_id: str
    run: MeteredRun | None
    missing_book: str = ""


class Recomputation:
    """Folds and prices the raw events of one organisation, piece by piece."""

    def __init__(
        self,
        client: AsyncClient,
        books: Mapping[str, PriceBook],
        refused: frozenset[Coordinate],
        since_ms: int,
    ) -> None:
        self._client = client
        self._books = books
        self._refused = refused
        self._since_ms = since_ms

    async def runs(self, org: Org) -> AsyncIterator[Mapping[str, Expected]]:
        """Yield the organisation's runs, so many at once."""
        bound = {"org": org.org_id, "since": _seconds(self._since_ms)}
        count = int((await self._client.query(_COUNT, parameters=bound)).result_rows[0][0])
        pieces = count // _RUNS_AT_ONCE + 1
        for piece in range(pieces):
            events: defaultdict[str, list[tuple[MeteredEvent, bool]]] = defaultdict(list)
            for table, kind in _RAW:
                sql = _events_sql(table, kind)
                parameters = {**bound, "pieces": pieces, "piece": piece}
                for row in (await self._client.query(sql, parameters=parameters)).named_results():
                    at = (row.pop("_topic"), row.pop("_partition"), row.pop("_offset"))
                    if at not in self._refused:
                        event = msgspec.convert(row, kind)
                        events[event.run_id].append((event, False))
            yield {run_id: self._expected(fold(None, made)) for run_id, made in events.items()}

    def _expected(self, state: RunState) -> Expected:
        missing = sorted(versions_of(state) - self._books.keys())
        if missing:
            return Expected(state.identity.instance_id, None, missing[0])
        amended, charge, adjustments = corrected_cost(state, self._books)
        run = MeteredRun(state, totals_of(amended, charge.micro), adjustments)
        return Expected(state.identity.instance_id, run)


def _events_sql(table: rows.Table, kind: type[Any]) -> str:
    """Return the query for a table's events as their struct names its fields."""
    columns = [_column(table, name) for name in kind.__struct_fields__ if name != "v"]
    return (
        f"SELECT {', '.join(columns)}, _topic, _partition, _offset FROM {table.name} "  # noqa: S608 - our own names
        "WHERE org_id = {org:String} AND started_at >= {since:DateTime64(3)} "
        "AND cityHash64(run_id) % {pieces:UInt64} = {piece:UInt64}"
    )


def _column(table: rows.Table, field: str) -> str:
    time = field.removesuffix("_ms")
    return f"toUnixTimestamp64Milli({time}) AS {field}" if time != field and time in table.columns else field


def _seconds(unix_ms: int) -> str:
    return f"{unix_ms // 1000}.{unix_ms % 1000:03}"
