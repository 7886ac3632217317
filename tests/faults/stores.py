"""Kafka, Valkey, ClickHouse and the disk: killed, away, forgetful, empty, full."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import tempfile
from pathlib import Path

from processes import Kill
from trial import Fault, Plan, Watch
from world import World, eventually

_AWAY_S = 20.0
_LONG_AWAY_S = 60.0
_EMPTY_S = 8.0


class KillStore(Kill):
    """kill -9 of a store."""

    recovery_limit_s = 45.0

    def __init__(self, part: str, watch: Watch = "metering") -> None:
        super().__init__(part)
        self.watch = watch

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        before = world.kill(self.part)
        await world.is_back(self.part, before)


class KafkaFrozen(Fault):
    """The broker takes connections and answers nothing."""

    name = "kafka-frozen"
    recovers_after = "heal"
    recovery_limit_s = 45.0

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        self._pid = world.signal("kafka", signal.SIGSTOP)
        await asyncio.sleep(_AWAY_S)

    async def heal(self, world: World) -> None:
        os.kill(self._pid, signal.SIGCONT)


class Away(Fault):
    """A store is not there at all for a while."""

    recovers_after = "heal"
    recovery_limit_s = 45.0

    def __init__(self, part: str, watch: Watch = "metering") -> None:
        self.part, self.watch = part, watch
        self.name = f"{part}-away"

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        long = plan.long and self.part == "clickhouse"
        await world.keep_dead(self.part, _LONG_AWAY_S if long else _AWAY_S)


class ValkeyRewound(Fault):
    """Valkey dies and comes back as it was some runs ago."""

    name = "valkey-rewound"
    recovery_limit_s = 45.0

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        older = await world.copy_valkey("older")
        await world.load.reach(world.load.answered + plan.runs // 4)
        await world.restart_valkey(older)

    async def check(self, world: World) -> list[str]:
        # Otherwise nothing shows that the copy was older at all.
        return [] if "seek" in world.log_of("metering") else ["no worker went back in the log"]


class ValkeyEmptied(Fault):
    """Valkey comes back without its files: nothing may be charged on a guess."""

    name = "valkey-emptied"
    expects = "fail closed"
    recovers_after = "heal"
    recovery_limit_s = 60.0
    spoils = True

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        self._wrong: list[str] = []
        # While it is down it is what it will be: the copy is what an operator would have.
        await world.valkey.stop()
        self._copy = world.folder / "lost"
        (world.folder / "valkey" / "appendonlydir").rename(self._copy)
        (world.folder / "valkey" / "appendonlydir").mkdir()
        await world.restart_valkey(None)

        async def refused() -> bool:
            return "has no fence" in world.log_of("metering")

        await eventually(refused, "the worker says that a fence is missing", 60)
        await asyncio.sleep(_EMPTY_S)
        async for name in world.see.redis.scan_iter("*:wallet:*"):
            fields = await world.see.redis.hgetall(name)
            self._wrong.append(f"a wallet was made while Redis was empty: {name!r} {fields}")

    async def heal(self, world: World) -> None:
        # What an operator does whose Redis is not the stack's: it is restored from its own copy.
        await world.restart_valkey(self._copy)

    async def check(self, world: World) -> list[str]:
        return self._wrong


class SpoolFull(Fault):
    """Kafka is away until the spools are full: then runs are refused, and what was acknowledged is safe."""

    name = "spool-full"
    env = {
        "RUNMETER_SPOOL_MAX_BYTES": "1048576",
        "RUNMETER_KAFKA_ACK_TIMEOUT_MS": "300",
        "RUNMETER_EMBEDDED_PROVIDER_TIME_SCALE": "0",
    }
    recovers_after = "heal"
    recovery_limit_s = 45.0

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        from clients import Client

        self._pid = world.signal("kafka", signal.SIGSTOP)
        self._refused = 0
        async with Client(world.urls.gateway_url) as client:

            async def full() -> bool:
                instance = world.instances[0]
                answers = await asyncio.gather(
                    *[client.run(instance.api_key, {"input": "Hello", "max_tokens": 8}) for _ in range(40)]
                )
                world.told |= client.told
                self._refused += sum(a.code == "metering_unavailable" and a.status == 503 for a in answers)
                return self._refused > 40

            await eventually(full, "the spool is full and runs are refused with 503", 180)

    async def heal(self, world: World) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def notes(self) -> list[str]:
        return [f"{self._refused} refused with 503"]


class DiskFull(SpoolFull):
    """The same, but it is the spools' disk that is full: each write may end anywhere."""

    name = "disk-full"
    env = {name: value for name, value in SpoolFull.env.items() if name != "RUNMETER_SPOOL_MAX_BYTES"}
    tiny_disk = True

    def missing(self) -> str:
        folder = Path(tempfile.mkdtemp())
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        if not mounted.returncode:
            subprocess.run(["umount", folder], check=True)
        folder.rmdir()
        return f"no disk can be mounted: {mounted.stderr.decode().strip()}" if mounted.returncode else ""


FAULTS: tuple[Fault, ...] = (
    KillStore("kafka"),
    KafkaFrozen(),
    Away("kafka"),
    KillStore("valkey"),
    Away("valkey"),
    ValkeyRewound(),
    KillStore("clickhouse", "warehouse"),
    Away("clickhouse", "warehouse"),
    SpoolFull(),
    DiskFull(),
    ValkeyEmptied(),
)
