"""What conversations need in one process: an ear for turns, and somebody who throws old ones away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from console_api.control.plane import ControlPlane
from console_api.conversations import repository
from console_api.conversations.intake import Intake
from kit.settings import ConversationSettings, KafkaSettings
from kit.tasks import ended

log = logging.getLogger(__name__)

_PURGE_BATCH = 500


@dataclass(frozen=True)
class Conversations:
    """What there is to work with."""

    settings: ConversationSettings
    redis: Redis


@asynccontextmanager
async def running(
    settings: ConversationSettings, plane: ControlPlane, redis: Redis, kafka: KafkaSettings
) -> AsyncIterator[Conversations]:
    """Take turns in, and throw old ones away, until the block ends."""
    work = [asyncio.create_task(run) for run in (_listen(plane, settings, kafka), _purge(plane, settings))]
    try:
        yield Conversations(settings, redis)
    finally:
        await ended(*work)


async def _listen(plane: ControlPlane, settings: ConversationSettings, kafka: KafkaSettings) -> None:
    await plane.ready.wait()
    await Intake(plane.database, settings, kafka).run()


async def _purge(plane: ControlPlane, settings: ConversationSettings) -> None:
    await plane.ready.wait()
    while True:
        try:
            async with plane.database.writing() as session:
                gone = await repository.purge(session, plane.clock(), _PURGE_BATCH)
        except (SQLAlchemyError, OSError) as error:
            log.warning("old conversations are not deleted", extra={"error": repr(error)})
            gone = 0
        if gone < _PURGE_BATCH:
            await asyncio.sleep(settings.purge_every_s)


def _conversations(request: Request) -> Conversations:
    conversations = request.app.state.conversations
    assert isinstance(conversations, Conversations)
    return conversations


ConversationsDep = Annotated[Conversations, Depends(_conversations)]
