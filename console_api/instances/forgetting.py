"""What an instance leaves behind when it has ended: nothing that is its buyer's, after a while.

Credentials of other systems go at once: an end is final, and nothing will call them again. Knowledge and
transcripts stay for some days, in which an end by mistake can still be talked about. Then knowledge is
deleted as its owner would, and so are transcripts, however long they would have been kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.connectors import service as connectors
from console_api.control.directory import service as directory
from console_api.control.outbox.relay import OUTAGES
from console_api.control.plane import ControlPlane
from console_api.conversations import repository as transcripts
from console_api.instances import ended
from console_api.knowledge import requests
from kit import tasks

log = logging.getLogger(__name__)

ACTOR = "instance ended"
_BATCH = 50
_EVERY_S = 60.0
_DAY_MS = 86_400_000


class Forgetter:
    """Looks for what ended instances left. Any number of console APIs may run one."""

    def __init__(self, plane: ControlPlane, keep_days: int) -> None:
        self._plane = plane
        self._keep_ms = keep_days * _DAY_MS

    async def run(self) -> None:
        """Look, and wait, for ever."""
        await self._plane.ready.wait()
        while True:
            try:
                await self.turn()
            except OUTAGES as error:
                log.warning("ended instances are not forgotten", extra={"error": repr(error)})
            except Exception:
                log.exception("forgetting ended instances failed")
            await asyncio.sleep(_EVERY_S)

    async def turn(self) -> tuple[int, int, int]:
        """Forget what is due; return how many connectors, sources and conversations that was."""
        return (
            await self._all(self._connectors),
            await self._all(self._sources),
            await self._all(self._conversations),
        )

    async def _all(self, forget: Callable[[AsyncSession, int], Awaitable[int]]) -> int:
        """Forget so many in one transaction, until there are none left."""
        forgotten = 0
        while True:
            async with self._plane.database.writing() as session:
                found = await forget(session, self._plane.clock())
            forgotten += found
            if found < _BATCH:
                return forgotten

    async def _connectors(self, session: AsyncSession, now_ms: int) -> int:
        found = await ended.connectors(session, _BATCH)
        for row, _ in found:
            await connectors.forget(session, row, ACTOR, now_ms)
        for instance in {instance.instance_id: instance for _, instance in found}.values():
            await directory.changed(session, instance, now_ms)
        return len(found)

    async def _sources(self, session: AsyncSession, now_ms: int) -> int:
        found = await ended.sources(session, now_ms - self._keep_ms, _BATCH)
        for row in found:
            await requests.ask_to_delete(session, row, ACTOR, now_ms)
        return len(found)

    async def _conversations(self, session: AsyncSession, now_ms: int) -> int:
        found = await ended.conversations(session, now_ms - self._keep_ms, _BATCH)
        await transcripts.forget(session, found)
        return len(found)


@asynccontextmanager
async def running(plane: ControlPlane, keep_days: int) -> AsyncIterator[None]:
    """Forget ended instances until the block ends."""
    work = asyncio.create_task(Forgetter(plane, keep_days).run())
    try:
        yield
    finally:
        await tasks.ended(work)
