"""A ClickHouse of the test's own beside the workers' servers."""

from __future__ import annotations

import asyncio

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from streams_rig import Rig
from waiting import PATIENCE_S, eventually

from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from stack import ports, servers
from stack.process import Child


class Warehouse:
    """A ClickHouse of the test's own, and a rig."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.port = ports.choose({"clickhouse": 0}, {})["clickhouse"]
        self.settings = ClickHouseSettings(url=f"http://127.0.0.1:{self.port}")
        self.server = self._child()

    def _child(self) -> Child:
        spec = servers.clickhouse(self.rig.folder / "clickhouse", self.port)
        return Child(spec, self.rig.folder / "logs", lambda: None)

    async def up(self) -> None:
        self.server = self._child()
        self.server.start()
        assert await self.server.wait_ready(PATIENCE_S)

    @property
    def env(self) -> dict[str, str]:
        return {"RUNMETER_CLICKHOUSE_URL": self.settings.url}

    def ask(self, sql: str) -> tuple[int, ...] | None:
        """Return a query's first row; `None` while the server is away."""
        client: Client | None = None
        try:
            client = clickhouse_client.connect_sync(self.settings)
            return tuple(client.query(sql).result_rows[0])
        except (ClickHouseError, OSError):
            return None
        finally:
            if client is not None:
                client.close()

    async def holds(self, sql: str, expected: tuple[int, ...], what: str) -> None:
        last: list[object] = []

        async def same() -> bool:
            last[:] = [await asyncio.to_thread(self.ask, sql)]
            return last[0] == expected

        try:
            await eventually(same, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; last: {last}, expected {expected}") from None
