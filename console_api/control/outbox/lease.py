"""One leader at a time.

PostgreSQL: whoever holds the row's lock, until its transaction or its connection ends; the others skip it.
SQLite has no row locks: whoever wrote its name there last, until a moment that it keeps postponing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from console_api.control.outbox import repository
from console_api.database.engine import Database
from kit.clock import Clock, new_id


class LeaderLease:
    """One process's claim to one task."""

    def __init__(self, database: Database, name: str, ttl_ms: int, clock: Clock) -> None:
        self._database = database
        self._name = name
        self._ttl_ms = ttl_ms
        self._clock = clock
        self._holder = new_id("relay")
        self._exists = False

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[bool]:
        """Yield whether this process leads, for as long as the block runs (SQLite: at most `ttl_ms`)."""
        if not self._exists:
            async with self._database.writing() as session:
                await repository.ensure_lease(session, self._name)
            self._exists = True
        if not self._database.is_postgresql:
            yield await self._taken()
            return
        async with self._database.writing() as session:
            yield await repository.lock_lease(session, self._name)

    async def _taken(self) -> bool:
        now = self._clock()
        async with self._database.writing() as session:
            return await repository.take_lease(session, self._name, self._holder, now, now + self._ttl_ms)

    async def free(self) -> None:
        """Let others lead at once (SQLite)."""
        if self._exists and not self._database.is_postgresql:
            async with self._database.writing() as session:
                await repository.free_lease(session, self._name, self._holder)
