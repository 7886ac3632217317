"""Writes projections, to Redis and to Kafka: those the outbox names, and all of them.

A projection is read from the database when it is written, not when it changed. So any number of changes is
one write, and what Redis holds is never older than what it held: the version read with the row decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, get_args

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.outbox.models import Projection
from console_api.control.outbox.relay import OUTAGES
from console_api.control.projections import repository
from console_api.control.projections.repository import Placed
from console_api.database.engine import Database
from console_api.database.tables import OutboxRow
from kit.clock import Clock
from kit.projections import Write, Writer

log = logging.getLogger(__name__)

_PAGE = 500
#: How long an answer waits for gateways to know what it says, and how many projections that may be.
_PATIENCE_S = 1.0
_MAX_AT_ONCE = 20

_Page = Callable[[AsyncSession, str], Awaitable[list[Placed]]]


class Store(Protocol):
    """Where projections are kept."""

    async def write(self, writes: Sequence[Write]) -> int:
        """Write them; return how many changed. Raises `ValueError` for what can never be written."""

    async def close(self) -> None:
        """Let go of connections."""


class Projector:
    """Writes to a store what the database says. Raises `SQLAlchemyError`, and what the store raises."""

    def __init__(self, database: Database, store: Store, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    async def deliver(self, rows: Sequence[OutboxRow]) -> Mapping[int, str]:
        """Write what the rows name, each once; return the rows that name nothing we know (a `Sink`)."""
        poison = {row.seq: "no such projection" for row in rows if row.topic not in get_args(Projection)}
        for kind in get_args(Projection):
            named = [row for row in rows if row.topic == kind]
            if named:
                poison |= await self._named(kind, named)
        return poison

    async def close(self) -> None:
        await self._store.close()

    async def _named(self, kind: Projection, rows: Sequence[OutboxRow]) -> dict[int, str]:
        names = list(dict.fromkeys(row.key for row in rows))
        try:
            await self.project(kind, names)
        except (ValueError, TypeError):
            if len(names) > 1:
                return await self._one_by_one(kind, rows)
            log.exception("a projection cannot be made", extra={"kind": kind, "key": names[0]})
            return {row.seq: "its row does not make a projection" for row in rows}
        return {}

    async def _one_by_one(self, kind: Projection, rows: Sequence[OutboxRow]) -> dict[int, str]:
        poison: dict[int, str] = {}
        for name in dict.fromkeys(row.key for row in rows):
            poison |= await self._named(kind, [row for row in rows if row.key == name])
        return poison

    async def project(self, kind: Projection, names: Sequence[str]) -> int:
        """Write the named projections of a kind as they are now; return how many changed."""
        async with self._database.reading() as session:
            placed = await self._read(session, kind, names)
        return await self._store.write([write for _, write in placed])

    async def at_once(self, named: Sequence[tuple[Projection, str]]) -> None:
        """Write what a transaction has just named, so that its caller finds it done: a new key opens, a
        revoked one does not.

        The outbox names them, too. Whatever cannot be written in a moment, or is too much for one, is its.
        """
        wanted = dict.fromkeys(named)
        if len(wanted) > _MAX_AT_ONCE:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for kind in get_args(Projection):
                    names = [name for of, name in wanted if of == kind]
                    if names:
                        await self.project(kind, names)
        except (*OUTAGES, ValueError, TypeError) as error:
            log.info("projections are left to the outbox", extra={"error": repr(error)})

    async def _read(self, session: AsyncSession, kind: Projection, names: Sequence[str]) -> list[Placed]:
        limit = len(names)
        match kind:
            case "api_key":
                return await repository.key_writes(session, self._clock(), names, limit=limit)
            case "instance":
                return await repository.instance_writes(session, names, limit=limit)
            case "price_book":
                return await repository.book_writes(session, names, limit=limit)
            case "price_schedule":
                return await repository.schedule_writes(session, names, limit=limit)
            case "customer":
                return await repository.customer_writes(session, names, limit=limit)

    async def all(self) -> int:
        """Write every projection there is, a page at a time; return how many changed."""
        pages: tuple[_Page, ...] = (
            # Prices first: a key without them cannot be served.
            lambda session, after: repository.book_writes(session, None, after, _PAGE),
            lambda session, after: repository.schedule_writes(session, None, after, _PAGE),
            lambda session, after: repository.instance_writes(session, None, after, _PAGE),
            lambda session, after: repository.key_writes(session, self._clock(), None, after, _PAGE),
            lambda session, after: repository.customer_writes(session, None, after, _PAGE),
        )
        return sum([await self._every(page) for page in pages])

    async def _every(self, page: _Page) -> int:
        changed, after = 0, ""
        while True:
            async with self._database.reading() as session:
                placed = await page(session, after)
            if not placed:
                return changed
            changed += await self._store.write([write for _, write in placed])
            after = placed[-1][0]


async def project_all(database: Database, redis: Redis, clock: Clock) -> int:
    """Write all projections to Redis; return how many changed. Harmless while others write."""
    return await Projector(database, Writer(redis), clock).all()
