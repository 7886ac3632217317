"""`python -m streams.warehouse.migrate`: bring the warehouse's schema up to date.

Migrations are numbered SQL files, applied once, in order, and never changed afterwards: the checksum of each
is kept, and a file that no longer matches stops everything.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from clickhouse_connect.driver.client import Client

from kit import clickhouse_client, logs
from kit.settings import ClickHouseSettings, StackSettings, load
from schemas import rows
from streams.warehouse import rollups
from streams.warehouse.cluster import SETTINGS, journal, local, on, render

log = logging.getLogger(__name__)

_RAW = (rows.RUN_EVENTS, rows.TOKEN_EVENTS, rows.TOOL_CALL_EVENTS)
_DIRECTORY = Path(__file__).parent / "migrations"
_JOURNAL = """
CREATE TABLE IF NOT EXISTS schema_migrations
(number UInt32, name String, checksum String, applied_at DateTime DEFAULT now())
ENGINE = MergeTree ORDER BY number
"""

#: What a migration's tables are filled with, in steps that may run again: one statement over all of history
#: would meet a server's time limit.
_FILLS: Mapping[int, Callable[[Client], None]] = {6: rollups.fill}


class MigrationChanged(Exception):
    """A migration that was applied no longer reads as it did then."""


@dataclass(frozen=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()

    def statements(self) -> list[str]:
        """Return the file's statements; `;` ends one at the end of a line."""
        text = re.sub(r"(?m)^\s*--.*$", "", self.sql)
        return [part.strip() for part in re.split(r";\s*(?:\n|\Z)", text) if part.strip()]

    def rendered(self, cluster: str) -> list[str]:
        """Return the statements as they read on a cluster, `""` being none. Raises `CannotRender`."""
        return [text for statement in self.statements() for text in render(statement, cluster)]


def migrations(directory: Path = _DIRECTORY) -> list[Migration]:
    """Return the migrations in order. Raises `ValueError` on a gap in the numbers."""
    found = [Migration(int(p.name[:4]), p.stem, p.read_text()) for p in sorted(directory.glob("*.sql"))]
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations must be numbered 1, 2, 3 … without gaps")
    return found


def apply(client: Client, wanted: list[Migration], cluster: str = "") -> list[Migration]:
    """Apply what is missing and return it. Raises `MigrationChanged` before touching anything."""
    client.command(journal(_JOURNAL, cluster))
    rows = client.query("SELECT number, checksum FROM schema_migrations").result_rows
    applied = {int(number): str(checksum) for number, checksum in rows}
    for migration in wanted:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise MigrationChanged(f"{migration.name} was applied with other content; add a new migration")
    missing = [migration for migration in wanted if migration.number not in applied]
    for migration in missing:
        for statement in migration.rendered(cluster):
            client.command(statement, settings=SETTINGS if cluster else None)
        if (fill := _FILLS.get(migration.number)) is not None:
            fill(client)
        client.insert(
            "schema_migrations",
            [[migration.number, migration.name, migration.checksum]],
            column_names=["number", "name", "checksum"],
        )
        log.info("migration applied", extra={"migration": migration.name})
    return missing


def retain(client: Client, days: int, cluster: str = "") -> None:
    """Have raw events deleted so many days after they were recorded; 0: never. Changes only what differs."""
    for table in [local(table.name, cluster) for table in _RAW]:
        engine = client.query(
            "SELECT engine_full FROM system.tables "
            "WHERE database = currentDatabase() AND name = {table:String}",
            parameters={"table": table},
        ).result_rows[0][0]
        found = re.search(r" TTL .*?\btoIntervalDay\((\d+)\)", engine)
        if (int(found[1]) if found else 0) == days:
            continue
        change = f"MODIFY TTL toDateTime(recorded_at) + toIntervalDay({days})" if days else "REMOVE TTL"
        client.command(f"ALTER TABLE {table}{on(cluster)} {change}")
        log.info("retention changed", extra={"table": table, "days": days})


def bring_up_to_date(settings: ClickHouseSettings) -> None:
    """Create the database, apply every missing migration, and set how long raw events are kept."""
    admin = clickhouse_client.connect_sync(settings, "default")
    admin.command(f"CREATE DATABASE IF NOT EXISTS {settings.database}{on(settings.cluster)}")
    admin.close()
    client = clickhouse_client.connect_sync(settings)
    apply(client, migrations(), settings.cluster)
    retain(client, settings.raw_events_days, settings.cluster)
    client.close()


if __name__ == "__main__":
    logs.configure("migrate", load(StackSettings).log_level)
    bring_up_to_date(load(ClickHouseSettings))
