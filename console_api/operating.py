"""What operators look after, in one process: an ear for what workers say, and what time alone calls for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from console_api import backlog
from console_api.control.intake import Intake
from console_api.control.plane import ControlPlane
from console_api.dead_letters import repository as letters
from console_api.dead_letters import service as dead_letters
from console_api.metrics import Metrics
from console_api.reconciliations import repository as reports
from console_api.reconciliations import service as reconciliations
from kit.settings import KafkaSettings
from schemas import topics

log = logging.getLogger(__name__)

GROUP = "runmeter-operating"
_EVERY_S = 60.0
_TELL_EVERY_S = 15.0


@asynccontextmanager
async def running(plane: ControlPlane, kafka: KafkaSettings, metrics: Metrics) -> AsyncIterator[None]:
    """Listen, ask, throw away, and tell what waits, until the block ends."""
    work = asyncio.gather(_listen(plane, kafka, metrics), _keep(plane), _tell(plane, metrics))
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def _listen(plane: ControlPlane, kafka: KafkaSettings, metrics: Metrics) -> None:
    await plane.ready.wait()
    takers = {
        topics.DEAD_LETTERS: partial(dead_letters.take, plane.database),
        topics.RECONCILIATIONS: partial(reconciliations.take, plane.database),
    }
    await Intake(kafka, GROUP, takers, metrics).run()


async def _keep(plane: ControlPlane) -> None:
    await plane.ready.wait()
    while True:
        try:
            await turn(plane)
        except (SQLAlchemyError, OSError) as error:
            log.warning("nothing is reconciled or thrown away", extra={"error": repr(error)})
        await asyncio.sleep(_EVERY_S)


async def _tell(plane: ControlPlane, metrics: Metrics) -> None:
    await plane.ready.wait()
    while True:
        try:
            await backlog.tell(plane, metrics)
        except (SQLAlchemyError, OSError) as error:
            log.warning("what waits is not told", extra={"error": repr(error)})
        await asyncio.sleep(_TELL_EVERY_S)


async def turn(plane: ControlPlane) -> None:
    """Ask for the reconciliations that are due, and throw away what was kept long enough."""
    now_ms = plane.clock()
    async with plane.database.writing() as session:
        if every_s := plane.settings.reconcile_every_s:
            await reconciliations.start_due(session, every_s * 1_000, now_ms)
        await letters.prune(session, now_ms - dead_letters.KEEP_MS, dead_letters.KEEP_LETTERS)
        await reports.prune(session, now_ms - reconciliations.KEEP_MS)
