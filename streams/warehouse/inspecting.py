"""How the warehouse's schema stands, without changing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from clickhouse_connect.driver.client import Client

from schemas import rows
from streams.warehouse.migrate import Migration

_VIEW = re.compile(r"(?m)^CREATE VIEW (\w+)")


@dataclass(frozen=True)
class State:
    """One migration and how it stands."""

    migration: Migration
    state: Literal["applied", "missing", "changed"]


def states(client: Client, wanted: list[Migration]) -> list[State]:
    """Return each migration's state; on a database without a journal all are missing."""
    applied: dict[int, str] = {}
    if client.query("EXISTS TABLE schema_migrations").result_rows[0][0]:
        found = client.query("SELECT number, checksum FROM schema_migrations").result_rows
        applied = {int(number): str(checksum) for number, checksum in found}
    made: list[State] = []
    for migration in wanted:
        checksum = applied.get(migration.number)
        same = checksum == migration.checksum
        made.append(State(migration, "missing" if checksum is None else "applied" if same else "changed"))
    return made


def views(wanted: list[Migration]) -> list[str]:
    """Return the names of the views that the migrations create."""
    # A later migration may make a view anew.
    return list(dict.fromkeys(name for migration in wanted for name in _VIEW.findall(migration.sql)))


def differences(client: Client, wanted: list[Migration]) -> list[str]:
    """Return what is not as it should be, a line each: migrations, columns as the sink writes them, views."""
    found = [f"{s.migration.name}: {s.state}" for s in states(client, wanted) if s.state != "applied"]
    live: dict[str, dict[str, str]] = {}
    query = "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"
    for table, name, kind in client.query(query).result_rows:
        live.setdefault(table, {})[name] = kind
    for wanted_table in rows.EVERY:
        columns = live.get(wanted_table.name)
        if columns is None:
            found.append(f"{wanted_table.name}: no such table")
            continue
        for name, kind in wanted_table.columns.items():
            if columns.get(name) != kind:
                found.append(f"{wanted_table.name}.{name}: {columns.get(name, 'missing')}, expected {kind}")
    found += [f"{view}: no such view" for view in views(wanted) if view not in live]
    return found
