"""Three brokers, of which one dies."""

from __future__ import annotations

import random

from trial import Fault, Plan
from world import World, eventually

_IN_SYNC_S = 90.0


class KillLeader(Fault):
    """kill -9 of the broker that leads most partitions with load; it stays dead until all goes on."""

    name = "kill-leader-of-three"
    three_brokers = True
    #: It keeps its partitions for four seconds; then there are an election, and clients that learn of it.
    recovery_limit_s = 20.0

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        assert world.brokers is not None
        led = await world.brokers.leads(world.loaded)
        self._broker, self._led = led.most_common(1)[0]
        await world.brokers.kill(self._broker)

    async def heal(self, world: World) -> None:
        assert world.brokers is not None
        self._left = await world.brokers.leads(world.loaded)
        await world.brokers.restart(self._broker)

    async def check(self, world: World) -> list[str]:
        assert world.brokers is not None
        brokers = world.brokers

        async def whole() -> bool:
            return await brokers.in_sync() == brokers.count

        await eventually(whole, "all replicas are in sync again", _IN_SYNC_S)
        # Otherwise nothing shows that anybody had to take over.
        return ["the dead broker still led"] if self._left[self._broker] or not self._led else []

    def notes(self) -> list[str]:
        return [f"broker {self._broker} led {self._led} partitions with load"]


FAULTS: tuple[Fault, ...] = (KillLeader(),)
