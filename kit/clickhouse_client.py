"""The one way to a ClickHouse client."""

from __future__ import annotations

import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client

from kit.settings import ClickHouseSettings

#: Less than a server keeps a connection on which nobody asks: 30 s, older ones 10 s.
_IDLE_S = 8.0


def _arguments(settings: ClickHouseSettings, database: str) -> dict[str, object]:
    return {
        "dsn": settings.url,
        "username": settings.user,
        "password": settings.password.get_secret_value(),
        "database": database,
        "connect_timeout": 5,
        "send_receive_timeout": settings.query_timeout_ms // 1000 + 5,
        # Without it the server ties every request of a client to one session, one at a time.
        "autogenerate_session_id": False,
    }


async def connect(settings: ClickHouseSettings) -> AsyncClient:
    """Return a client bound to the product's database. Raises `OperationalError` when the server is away."""
    return await clickhouse_connect.get_async_client(
        **_arguments(settings, settings.database), keepalive_timeout=_IDLE_S
    )


def connect_sync(settings: ClickHouseSettings, database: str | None = None) -> Client:
    """Return a blocking client, for commands; `database` overrides the product's (e.g. to create it)."""
    return clickhouse_connect.get_client(**_arguments(settings, database or settings.database))
