"""The way to Redis: slow, cut, reset, half open."""

from __future__ import annotations

import asyncio
import random
import time

from trial import Fault, Plan
from world import World

_SLOW_S = 0.05
_BAD_S = 10.0


class SlowRedis(Fault):
    """Each exchange with Redis takes a tenth of a second longer, for ten seconds."""

    name = "redis-slow"
    proxied = True
    recovers_after = "heal"

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        world.proxy.delay_s = _SLOW_S
        await asyncio.sleep(_BAD_S)

    async def heal(self, world: World) -> None:
        world.proxy.delay_s = 0


class BrokenConnections(Fault):
    """Every connection to Redis ends again and again, at random moments, in one of three ways."""

    proxied = True
    recovers_after = "heal"

    def __init__(self, how: str) -> None:
        self._how = how
        self.name = f"redis-{how.replace('_', '-')}"
        self._ended = 0

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        deadline = time.monotonic() + _BAD_S
        while time.monotonic() < deadline:
            self._ended += getattr(world.proxy, self._how)()
            await asyncio.sleep(chance.uniform(0.05, 1.5))

    async def heal(self, world: World) -> None:
        if self._how == "half_open":
            # As a peer does that hears of a connection which it does not know.
            world.proxy.reset()

    async def check(self, world: World) -> list[str]:
        return [] if self._ended else ["there was no connection to break"]


FAULTS: tuple[Fault, ...] = (
    SlowRedis(),
    BrokenConnections("cut"),
    BrokenConnections("reset"),
    BrokenConnections("half_open"),
)
