"""Where a test's database is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from containers import PATIENT
from pydantic import SecretStr
from sqlalchemy import text

from console_api.database.engine import Database, connect
from kit.settings import DatabaseSettings


@dataclass(frozen=True)
class Place:
    """A database of one test. Several processes' worth of engines may open it."""

    settings: DatabaseSettings
    data_dir: Path

    def open(self) -> Database:
        return connect(self.settings, self.data_dir)


_BUSY_TIMEOUT_MS = int(PATIENT["RUNMETER_DATABASE_BUSY_TIMEOUT_MS"])
#: A file of the test's folder.
SQLITE = DatabaseSettings(busy_timeout_ms=_BUSY_TIMEOUT_MS)


def at(url: str, name: str) -> DatabaseSettings:
    """Return the settings of another database of that server."""
    return DatabaseSettings(
        url=SecretStr(f"{url.rpartition('/')[0]}/{name}"), busy_timeout_ms=_BUSY_TIMEOUT_MS
    )


async def create_database(url: str, name: str, template: str = "template0") -> None:
    """Make a database on a PostgreSQL server, as a copy of another."""
    admin = connect(DatabaseSettings(url=SecretStr(url)), Path())
    async with admin.engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    await admin.close()
