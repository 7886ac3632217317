"""Which pages a widget's key opens, and a count of those that tried with no right to."""

from __future__ import annotations

import logging
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import metrics
from gateway.errors import OriginNotAllowed
from gateway.keys import Caller
from gateway.widget import origins
from kit.clock import Clock
from metering.windows import start_of
from schemas import keys

log = logging.getLogger(__name__)

_SCRIPT = Path(__file__).with_name("blocked.lua").read_text()
#: A page that is not allowed can invent hosts: so many a day are told apart, for so long.
MAX_NAMED = 50
_KEPT_S = 8 * 86_400


class OriginGuard:
    """Lets allowed origins through and counts the others, for the console."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._clock = clock

    async def check(self, caller: Caller, origin: str) -> None:
        """Raise `OriginNotAllowed` unless the key names that origin."""
        if not origins.is_allowed(origin, caller.key.allowed_origins):
            raise await self.blocked(caller, origin)

    async def blocked(self, caller: Caller, origin: str) -> OriginNotAllowed:
        """Count an origin that is not allowed; return the error. That it could not be counted is none."""
        metrics.WIDGET_BLOCKED.inc()
        day = keys.widget_blocked(caller.partition, caller.key.key_id, start_of("day", self._clock()))
        arguments: list[str | int] = [origins.name(origin), keys.OTHER_ORIGINS, MAX_NAMED, _KEPT_S]
        try:
            await self._script(keys=[day], args=arguments)
        except RedisError as error:
            log.warning("a blocked origin was not counted", extra={"error": repr(error)})
        return OriginNotAllowed("add the page's origin to the key's allowed_origins in the console")
