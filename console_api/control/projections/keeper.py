"""Keeps Redis from forgetting: everything is projected at start, now and then, and when Redis was restarted.

A Redis that restarts may have lost its last second, with a revocation in it that the outbox calls sent. One
that holds everything is marked as such: workers do not take what it lacks for what never was.
"""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis

from console_api.control.outbox.relay import OUTAGES
from console_api.control.projections.service import Projector
from kit import projections, redis_client
from kit.clock import Clock

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0


class Keeper:
    """Projects everything again when it may be needed."""

    def __init__(self, projector: Projector, redis: Redis, every_ms: int, clock: Clock) -> None:
        self._projector = projector
        self._redis = redis
        self._every_ms = every_ms
        self._clock = clock
        self._due_ms = 0

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            try:
                await self.turn()
            except OUTAGES as error:
                # Whatever comes back may have forgotten something.
                self._due_ms = 0
                log.warning("projections are not checked", extra={"error": repr(error)})
            await asyncio.sleep(_LOOK_EVERY_S)

    async def turn(self) -> bool:
        """Project everything if it is due; return whether it was."""
        if self._clock() < self._due_ms and await projections.whole(self._redis):
            return False
        # Asked before: one that restarts meanwhile is not marked.
        identity = await redis_client.identity(self._redis)
        changed = await self._projector.all()
        await projections.mark_whole(self._redis, identity)
        self._due_ms = self._clock() + self._every_ms
        if changed:
            log.info("projections were restored", extra={"changed": changed})
        return True
