"""Connections and transactions. One request is one transaction: `reading()` or `writing()`, once.

SQLite: WAL, foreign keys on, and a transaction that writes takes the write lock as it begins, for one that
asked for it later would be refused when another got there first. PostgreSQL: READ COMMITTED, and whoever
decides on a row locks it (`FOR UPDATE`), which SQLite need not.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from kit.settings import DatabaseSettings

_WRITES = "runmeter_writes"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
_AGAIN_S = 0.01
#: PostgreSQL: a lock was not to be had in time, a deadlock was broken, the server shuts down.
_TOO_BUSY = ("55P03", "40P01", "57P01", "57P03")


class Database:
    """The engine and its sessions. One per process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._read = async_sessionmaker(engine, expire_on_commit=False)
        writing = engine.execution_options(**{_WRITES: True})
        self._write = async_sessionmaker(writing, expire_on_commit=False)
        self._committed: list[asyncio.Event] = []

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """One transaction that changes nothing."""
        async with self._read() as session, session.begin():
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """One transaction, committed when the block ends and rolled back when it raises."""
        async with self._write() as session, session.begin():
            yield session
        for committed in self._committed:
            committed.set()

    def on_commit(self) -> asyncio.Event:
        """Return an event that is set whenever this process has committed something."""
        self._committed.append(committed := asyncio.Event())
        return committed

    async def close(self) -> None:
        await self.engine.dispose()


def connect(settings: DatabaseSettings, data_dir: Path) -> Database:
    """Return the database of the settings; it connects on first use. Raises `SystemExit` for a wrong URL."""
    url = url_of(settings, data_dir)
    timeout_s = settings.busy_timeout_ms / 1000
    if url.get_backend_name() == "sqlite":
        if url.database:
            _own_file(Path(url.database))
        engine = create_async_engine(
            url, connect_args={"timeout": timeout_s}, pool_size=settings.max_connections, max_overflow=0
        )
        _prepare_sqlite(engine, timeout_s)
        return Database(engine)
    engine = create_async_engine(
        url,
        pool_size=settings.max_connections,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        connect_args={
            "timeout": timeout_s,
            "server_settings": {
                "lock_timeout": str(settings.busy_timeout_ms),
                "application_name": "runmeter",
            },
        },
    )
    return Database(engine)


def is_outage(error: Exception) -> bool:
    """Return whether the database is away or too busy, rather than the statement wrong."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeout | OSError)
    too_busy = getattr(error.orig, "sqlstate", None) in _TOO_BUSY
    return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated or too_busy


def _own_file(path: Path) -> None:
    """Make the file if it is not there, for its owner's eyes only; its journals get the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)


def url_of(settings: DatabaseSettings, data_dir: Path) -> URL:
    """Return the URL with the driver we use. Raises `SystemExit` naming the variable."""
    text = settings.url.get_secret_value()
    if not text:
        return URL.create(_DRIVERS["sqlite"], database=str(data_dir / "control.db"))
    try:
        url = make_url(text)
    except ArgumentError:
        url = None
    driver = _DRIVERS.get(url.drivername.partition("+")[0]) if url is not None else None
    if url is None or driver is None:
        raise SystemExit(
            "invalid settings: RUNMETER_DATABASE_URL: give postgresql://user:password@host/name "
            "or sqlite:///file"
        )
    return url.set(drivername=driver)


def _prepare_sqlite(engine: AsyncEngine, timeout_s: float) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _: object) -> None:
        # Transactions begin where `_begin` says, not where the driver guesses.
        connection.isolation_level = None
        connection.run_async(partial(_keep_wal, timeout_s=timeout_s))
        cursor = connection.cursor()
        for pragma in ("foreign_keys=ON", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


async def _keep_wal(connection: aiosqlite.Connection, timeout_s: float) -> None:
    """Let the file keep a write-ahead log, if it does not yet.

    While another process writes a file without one, SQLite refuses at once, whatever the busy timeout: two
    that start together on a new file would not both come up. Raises `TimeoutError`.
    """
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                await connection.execute_fetchall("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return
