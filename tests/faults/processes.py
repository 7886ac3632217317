"""Processes of the product that die, freeze, multiply, or live in another hour."""

from __future__ import annotations

import asyncio
import glob
import os
import random
import signal

from trial import Fault, Plan, Watch
from world import World, end, eventually

from stack import ports

SERVICES = ("gateway", "runner", "metering", "warehouse", "relay")
_FREEZE_S = 12.0
_WATCH: dict[str, Watch] = {
    "gateway": "answers",
    "runner": "answers",
    "warehouse": "warehouse",
    "relay": "ledger",
}


class Kill(Fault):
    """kill -9 of a part; the supervisor starts it again."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.name = f"kill-{part}"
        self.watch = _WATCH.get(part, "metering")
        if part == "gateway":
            # Whoever repeats a request waits until the dead attempt's lease (15 s) has run out.
            self.recovery_limit_s = 25.0

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        world.kill(self.part)


class Freeze(Fault):
    """A part stands still for longer than its session and most of its lease, and then goes on unaware."""

    recovers_after = "heal"

    def __init__(self, part: str) -> None:
        self.part = part
        self.name = f"freeze-{part}"
        self.watch = _WATCH.get(part, "metering")
        self._pid = 0

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        self._pid = world.signal(self.part, signal.SIGSTOP)
        await asyncio.sleep(_FREEZE_S)

    async def heal(self, world: World) -> None:
        os.kill(self._pid, signal.SIGCONT)


class TwoWorkers(Fault):
    """Two metering workers share the partitions; one is killed, or both at once."""

    #: The killed one is not restarted by anyone: its session (6 s) has to run out.
    recovery_limit_s = 20.0

    def __init__(self, *, both: bool) -> None:
        self._both = both
        self.name = "two-workers-kill-both" if both else "two-workers-kill-one"

    async def prepare(self, world: World) -> None:
        port = ports.choose({"ops": 0}, {})["ops"]
        env = {"RUNMETER_WORKER_METRICS_PORT": str(port)}
        self._second = await world.worker("streams.metering", "second", env)
        # Ready is who has partitions and knows their lag.
        await _ready(f"http://127.0.0.1:{port}/readyz")
        await _ready(f"http://127.0.0.1:{world.state.ports['metering_ops']}/readyz")

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        self._second.kill()
        if self._both:
            world.kill("metering")
        await self._second.wait()


class RollingRestart(Fault):
    """SIGTERM to every service in turn, each when the one before serves again."""

    name = "rolling-restart"
    recovers_after = "heal"

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        for part in chance.sample(SERVICES, len(SERVICES)):
            before = world.signal(part, signal.SIGTERM)
            await world.is_back(part, before)
            await asyncio.sleep(chance.uniform(0.5, 2.0))


#: What a relay logs of each run that it closes.
_REAPED = "closed a run whose gateway went away"


class ClockJump(Fault):
    """One process whose clock jumps an hour ahead and then one back, while the others' do not."""

    recovers_after = "heal"
    #: Who takes over from the worker that is killed in the end waits for its session to run out.
    recovery_limit_s = 20.0

    def __init__(self, part: str) -> None:
        self.part = part
        self.name = f"clock-{part}"
        self._url = ""

    def missing(self) -> str:
        return "" if _faketime() else "libfaketime is not installed: apt-get install -y libfaketime"

    async def prepare(self, world: World) -> None:
        self._reaped = self._reaped_so_far(world)
        self._offset = world.folder / "faketime"
        self._offset.write_text("+0")
        env = {
            "LD_PRELOAD": _faketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            # Deadlines are counted on the monotonic clock, which a wrong wall clock does not touch.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        if self.part == "gateway":
            port = ports.choose({"gateway": 0}, {})["gateway"]
            env |= {
                "RUNMETER_GATEWAY_PORT": str(port),
                "RUNMETER_GATEWAY_RUNNER_URL": f"http://127.0.0.1:{world.state.ports['runner']}",
                "RUNMETER_GATEWAY_SPOOL_DIR": str(world.folder / "spool-clock"),
            }
            self._url = f"http://127.0.0.1:{port}"
            self._process = await world.worker("gateway", "clock", env)
            await _ready(f"{self._url}/readyz")
            return
        # It takes the supervisor's worker's place for as long as that one stands still.
        self._pid = world.signal(self.part, signal.SIGSTOP)
        port = ports.choose({"ops": 0}, {})["ops"]
        env["RUNMETER_WORKER_METRICS_PORT"] = str(port)
        self._process = await world.worker(f"streams.{self.part}", "clock", env)
        await _ready(f"http://127.0.0.1:{port}/readyz")

    def gateway_url(self, world: World) -> str:
        return self._url or world.urls.gateway_url

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        for offset in ("+3600", "-3600"):
            self._offset.write_text(offset)
            await world.load.reach(world.load.answered + plan.runs // 4)

    async def heal(self, world: World) -> None:
        self._offset.write_text("+0")
        if self.part == "gateway":
            return
        os.kill(self._pid, signal.SIGCONT)
        await end(self._process)

    async def check(self, world: World) -> list[str]:
        await end(self._process)
        if reaped := self._reaped_so_far(world) - self._reaped:
            return [f"{reaped} runs of living gateways were taken for abandoned"]
        return []

    def _reaped_so_far(self, world: World) -> int:
        """Return how often a relay, of the right clock or the wrong one, has closed another's run."""
        said = world.log_of("relay")
        mine = world.folder / "logs" / "streams.relay-clock.log"
        return (said + (mine.read_text(errors="replace") if mine.exists() else "")).count(_REAPED)


def _faketime() -> str:
    return next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")


async def _ready(url: str) -> None:
    import aiohttp

    async def says_200() -> bool:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200

    await eventually(says_200, f"{url} is ready", 60)


FAULTS: tuple[Fault, ...] = (
    *(Kill(part) for part in SERVICES),
    *(Freeze(part) for part in SERVICES),
    TwoWorkers(both=False),
    TwoWorkers(both=True),
    RollingRestart(),
    ClockJump("gateway"),
    ClockJump("metering"),
    ClockJump("relay"),
)
