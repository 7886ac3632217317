"""Reads from ClickHouse: bound parameters, a time cap, and one error when it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from kit import clickhouse_client
from kit.problems import InvalidRequest, Unavailable
from kit.settings import ClickHouseSettings

log = logging.getLogger(__name__)

Row = dict[str, Any]
_AWAY = (ClickHouseError, aiohttp.ClientError, TimeoutError, OSError)
_TIMEOUT_EXCEEDED = 159
#: TOO_MANY_ROWS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES
_TOO_LARGE = (158, 241, 307, 396)


class WarehouseAway(Unavailable):
    """ClickHouse cannot answer now: unreachable, not migrated, or over its time cap."""

    code, title = "warehouse_unavailable", "Usage history is not available right now"


class TooLarge(InvalidRequest):
    """An answer that nobody should wait for."""

    code, title = "result_too_large", "The answer would be too large"


class Warehouse:
    """A ClickHouse client that connects on first use, so that the service starts while ClickHouse is away."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()

    @property
    def database(self) -> str:
        return self._settings.database

    async def rows(self, sql: str, parameters: Mapping[str, object]) -> list[Row]:
        """Run one read and return its rows by column name. Raises `WarehouseAway`."""
        cap_s = self._settings.query_timeout_ms / 1000
        try:
            async with asyncio.timeout(cap_s + 2):
                client = await self._connected()
                result = await client.query(
                    sql,
                    parameters=dict(parameters),
                    settings={
                        "max_execution_time": cap_s,
                        # A run's versions share a partition, so partitions need not be merged together.
                        "do_not_merge_across_partitions_select_final": 1,
                    },
                )
        except _AWAY as error:
            raise _problem(error) from error
        return list(result.named_results())

    async def stream(
        self, sql: str, parameters: Mapping[str, object] | None, settings: Mapping[str, object], max_rows: int
    ) -> AsyncIterator[bytes]:
        """Run one read whose SQL names its FORMAT; return its answer in pieces.

        Without `parameters` nothing in it is bound. All errors come before the first piece: ClickHouse holds
        the answer back until it is whole. Raises `WarehouseAway`, and `TooLarge` above `max_rows` rows or
        ClickHouse's own limit of memory.
        """
        cap_s = self._settings.query_timeout_ms / 1000
        limits = {
            "max_execution_time": cap_s,
            "max_result_rows": max_rows,
            "result_overflow_mode": "throw",
            "wait_end_of_query": 1,
            # What arrives is passed on as it is.
            "enable_http_compression": 0,
            "do_not_merge_across_partitions_select_final": 1,
        }
        try:
            async with asyncio.timeout(cap_s + 2):
                client = await self._connected()
                found = await client.raw_stream(
                    sql, None if parameters is None else dict(parameters), settings={**settings, **limits}
                )
        except _AWAY as error:
            if getattr(error, "code", None) in _TOO_LARGE:
                raise TooLarge(
                    f"It has more than {max_rows} rows, or takes too much memory: ask for a shorter range, a "
                    "coarser window, or fewer groups.",
                    max_rows=max_rows,
                ) from error
            raise _problem(error) from error
        return _pieces(found)

    async def ping(self) -> None:
        """Return when ClickHouse answers. Raises `WarehouseAway`."""
        await self.rows("SELECT 1 AS up", {})

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = await clickhouse_client.connect(self._settings)
            return self._client


async def _pieces(found: Any) -> AsyncIterator[bytes]:
    async with found as pieces:
        async for piece in pieces:
            yield piece


def _problem(error: Exception) -> WarehouseAway:
    log.warning("warehouse read failed", extra={"error": repr(error)})
    slow = isinstance(error, TimeoutError) or getattr(error, "code", None) == _TIMEOUT_EXCEEDED
    remedy = "The read took too long: ask for a shorter range." if slow else "Try again in a few seconds."
    return WarehouseAway(remedy, headers={"Retry-After": "5"}, store="clickhouse")
