"""When keys are used: noted in memory, written to Redis every few seconds; the control plane collects it."""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.clock import Clock
from schemas import keys

log = logging.getLogger(__name__)

_MAX_KEYS = 50_000
_CHUNK = 1_000


class KeyUses:
    """The latest use of each key since the last write. Losing some is no harm: the next use says the same."""

    def __init__(self, redis: Redis, every_ms: int, clock: Clock) -> None:
        self._redis = redis
        self._every_s = every_ms / 1000
        self._clock = clock
        self._latest: dict[str, int] = {}

    def note(self, key_id: str) -> None:
        """Note that the key is used now."""
        if len(self._latest) < _MAX_KEYS or key_id in self._latest:
            self._latest[key_id] = self._clock()

    async def run(self) -> None:
        """Write what was noted, for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted, one command for a thousand keys."""
        latest, self._latest = self._latest, {}
        try:
            noted = list(latest.items())
            for start in range(0, len(noted), _CHUNK):
                await self._redis.hset(keys.key_last_used(), mapping=dict(noted[start : start + _CHUNK]))
        except RedisError as error:
            log.warning("uses of keys were not noted", extra={"error": repr(error), "keys": len(latest)})
