"""Runs an analyst's SELECT. Whose rows it sees is enforced by ClickHouse, on every table under the views."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from clickhouse_connect.driver.binding import format_str
from clickhouse_connect.driver.exceptions import ClickHouseError

from console_api.analysts import guard
from console_api.analysts.models import Question
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.stores import Stores
from console_api.warehouse import WarehouseAway
from kit.problems import InvalidRequest
from schemas import rows

MAX_ROWS = 10_000
_FORMATS: dict[Literal["json", "csv"], str] = {"json": "JSONCompact", "csv": "CSVWithNames"}
_LIMITS: dict[str, object] = {
    # Also refuses a SETTINGS clause that would change any of these.
    "readonly": 1,
    "max_memory_usage": 1 << 30,
    "max_rows_to_read": 200_000_000,
    "max_bytes_to_read": 20 << 30,
    "max_result_bytes": 32 << 20,
    "max_threads": 2,
    "max_subquery_depth": 20,
    # A condition of the caller's must not see a row before the tenant's has let it through: whether it fails
    # would say something about that row.
    "optimize_move_to_prewhere": 0,
    "query_plan_merge_filters": 0,
    "short_circuit_function_evaluation": "force_enable",
    "output_format_json_quote_64bit_integers": 0,
    "format_csv_null_representation": "",
}
#: Errors found before any row is read, whose text therefore holds nobody's data: of syntax, names and types.
_ABOUT_THE_TEXT = {16, 34, 35, 42, 43, 44, 46, 47, 53, 60, 62, 63, 80, 164, 179, 184, 207, 215, 352, 386}
_TIMEOUT_EXCEEDED = 159
#: All that holds a tenant's rows. Views are expanded to these.
_TABLES = rows.EVERY


async def answer(stores: Stores, principal: Principal, question: Question) -> AsyncIterator[bytes]:
    """Return the answer in pieces. Raises `Forbidden`, `InvalidRequest`, `TooLarge`, `WarehouseAway`."""
    # A viewer of the whole tenant reads its history; members of an org have its pages, and the Meter API.
    if principal.org_id:
        roles.require(principal, "operator", "To query the warehouse for an org")
    text = question.sql.strip().rstrip(";").rstrip()
    if "\x00" in text:
        raise InvalidRequest("sql: holds a zero byte; send text.")
    database = stores.warehouse.database
    try:
        guard.check(await _tree(stores, text), database, await _tables(stores))
        settings = {**_LIMITS, "additional_table_filters": _filters(database, principal)}
        sql = f"{text}\nFORMAT {_FORMATS[question.format]}"
        return await stores.warehouse.stream(sql, None, settings, MAX_ROWS)
    except WarehouseAway as away:
        raise _told(away) from away


async def _tree(stores: Stores, text: str) -> str:
    pieces = await stores.warehouse.stream(
        f"EXPLAIN AST {text}\nFORMAT TSVRaw", None, {"readonly": 1}, 100_000
    )
    return b"".join([piece async for piece in pieces]).decode()


async def _tables(stores: Stores) -> set[str]:
    found = await stores.warehouse.rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase()", {}
    )
    return {row["name"] for row in found}


def _filters(database: str, principal: Principal) -> str:
    """Return `additional_table_filters`: what ClickHouse adds to each read of each table."""
    pairs = []
    for table in _TABLES:
        condition = f"tenant_id = {format_str(principal.tenant_id)}"
        if "tenant_id" not in table.columns or (principal.org_id and "org_id" not in table.columns):
            condition = "false"
        elif principal.org_id:
            condition += f" AND org_id = {format_str(principal.org_id)}"
        pairs.append(f"{format_str(f'{database}.{table.name}')}: {format_str(condition)}")
    return "{" + ", ".join(pairs) + "}"


def _told(away: WarehouseAway) -> WarehouseAway | InvalidRequest:
    """Return a query's own mistake as such; of others only the name, for their text may quote rows."""
    cause = away.__cause__
    code = getattr(cause, "code", None)
    if not isinstance(cause, ClickHouseError) or not code or code == _TIMEOUT_EXCEEDED:
        return away
    message = str(cause).partition("DB::Exception: ")[2].partition(" (for url")[0]
    if code in _ABOUT_THE_TEXT:
        return InvalidRequest(f"sql: {message[:600]}", clickhouse_code=code)
    name = message.rpartition("(version")[0].rstrip().rpartition("(")[2].rstrip(") ")
    return InvalidRequest(f"sql: ClickHouse refused it with {name or code}.", clickhouse_code=code)
