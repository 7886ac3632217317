"""Numbered migrations, run by the program itself: at start, or with `python -m console_api.database`.

Several processes may start at once: on PostgreSQL an advisory lock, on SQLite the write lock lets one migrate
and makes the others wait. All steps are one transaction, so a step that fails leaves what there was.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from console_api.database.base import Base
from console_api.database.engine import Database, connect
from kit.settings import DatabaseSettings, StackSettings, load

#: Any number that nobody else locks.
_LOCK = 7_203_114_951
_SCRIPTS = Path(__file__).parent / "migrations"


async def upgrade(settings: DatabaseSettings) -> None:
    """Bring the database of the settings to the newest schema."""
    database = connect(settings, load(StackSettings).data_dir)
    try:
        await migrate(database)
    finally:
        await database.close()


async def migrate(database: Database, revision: str = "head") -> None:
    """Bring an open database to a revision. Doing it again changes nothing."""
    async with database.writing() as session:
        connection = await session.connection()
        if database.is_postgresql:
            await connection.execute(text("SET LOCAL lock_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        await connection.run_sync(_upgrade, revision)


async def drift(database: Database) -> list[object]:
    """Return where the tables in the database differ from the models; nothing, if all is well."""
    async with database.reading() as session:
        connection = await session.connection()
        return await connection.run_sync(_differences)


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _differences(connection: Connection) -> list[object]:
    import console_api.database.tables  # noqa: F401, PLC0415 - registers them

    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Base.metadata))
