"""Has sources read anew: when their time has come, and when the embedding model is another one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.outbox.relay import OUTAGES
from console_api.control.plane import ControlPlane
from console_api.database.tables import Instance, KnowledgeSource
from console_api.knowledge import repository, requests
from console_api.knowledge.quota import allowed
from kit.settings import KnowledgeSettings

log = logging.getLogger(__name__)

_BATCH = 50
#: Turns between two looks at every source's model: it changes with a restart only.
_MODEL_TURNS = 20


class Schedule:
    """Looks for sources whose time has come. Any number of console APIs may run one."""

    def __init__(self, plane: ControlPlane, settings: KnowledgeSettings, model: str) -> None:
        self._plane = plane
        self._settings = settings
        self._model = model

    async def run(self) -> None:
        """Look, and wait, for ever."""
        turns = 0
        while True:
            try:
                await self.turn(models=turns % _MODEL_TURNS == 0)
                turns += 1
            except OUTAGES as error:
                log.warning("sources are not read anew", extra={"error": repr(error)})
            except Exception:
                log.exception("looking for sources to read anew failed")
            await asyncio.sleep(self._settings.schedule_every_ms / 1000)

    async def turn(self, *, models: bool) -> int:
        """Ask for what is due; return how many sources that was. Raises one of `OUTAGES`."""
        asked = await self._all(self._due)
        return asked + (await self._all(self._of_other_models) if models else 0)

    async def _all(self, ask: Callable[[AsyncSession, int], Awaitable[int]]) -> int:
        """Ask for so many in one transaction, until there are none left."""
        asked = 0
        while True:
            async with self._plane.database.writing() as session:
                found = await ask(session, self._plane.clock())
            asked += found
            if found < _BATCH:
                return asked

    async def _due(self, session: AsyncSession, now_ms: int) -> int:
        due = await repository.due(session, now_ms, _BATCH)
        for row, owner in due:
            row.next_sync_ms = 0  # set again once it is ready, or has failed
            await self._ask(session, row, owner, "schedule", now_ms)
        return len(due)

    async def _of_other_models(self, session: AsyncSession, now_ms: int) -> int:
        others = await repository.of_other_models(session, self._model, _BATCH)
        for row, owner in others:
            # Once for each model: were a worker set to another one, they would go on for ever.
            row.asked_model = self._model
            await self._ask(session, row, owner, "embedding model changed", now_ms)
        return len(others)

    async def _ask(
        self, session: AsyncSession, row: KnowledgeSource, owner: Instance, why: str, now_ms: int
    ) -> None:
        if owner.status != "ended":
            may = await allowed(session, self._settings, owner, row)
            await requests.ask_anew(session, row, may, actor=why, now_ms=now_ms)
