"""How one metering worker's rate depends on the partitions, and what a second worker adds.

Broker, Valkey and workers share the machine's cores; the rate for each processor second of the workers tells
what a worker on a core of its own would do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
from bench_events import publish_backlog
from bench_rig import Rig, at_rest, process, servers_for, time_until_applied

from stack import ports

_RUNS = 30_000
_WARM_RUNS = 1_000
_CASES = ((1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (8, 2), (16, 2))


async def measure(folder: Path) -> dict[str, Any]:
    """Return, by partitions and workers, events per second, of wall and of the workers' processor time."""
    found: list[dict[str, float]] = []
    for partitions, workers in _CASES:
        async with servers_for(folder / f"{partitions}-{workers}", partitions) as rig:
            wall, cpu = await _catch_up(rig, workers)
        found.append({"partitions": partitions, "workers": workers, "per_s": wall, "per_cpu_s": cpu})
        print(found[-1], flush=True)
    return {"cases": found}


async def _catch_up(rig: Rig, workers: int) -> tuple[float, float]:
    """Freeze workers that share the partitions, put a backlog before them, and let them go."""
    await publish_backlog(rig.kafka.bootstrap, rig.kafka.partitions, _WARM_RUNS, "warm")
    with contextlib.ExitStack() as stack:
        started = [_worker(stack, rig, n) for n in range(workers)]
        pids = [pid for pid, _ in started]
        for _, url in started:
            await _ready(url)
        before = await at_rest(rig)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        events = await publish_backlog(rig.kafka.bootstrap, rig.kafka.partitions, _RUNS, "bench")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        wall, cpu = await time_until_applied(rig, before + events, *pids)
    return events / wall, events / cpu


def _worker(stack: contextlib.ExitStack, rig: Rig, number: int) -> tuple[int, str]:
    port = ports.choose({"ops": 0}, {})["ops"]
    env = rig.environment(
        RUNMETER_WORKER_INSTANCE=str(number),
        RUNMETER_WORKER_METRICS_PORT=str(port),
        # While they are frozen nobody is to take over, and they are not to give up.
        RUNMETER_WORKER_SESSION_TIMEOUT_MS="300000",
        RUNMETER_WORKER_STALL_TIMEOUT_MS="600000",
    )
    log = rig.folder / f"worker{number}.log"
    running = stack.enter_context(process(["-m", "streams.metering"], env, log))
    return int(running.pid), f"http://127.0.0.1:{port}/readyz"


async def _ready(url: str) -> None:
    """Wait until a worker has partitions and knows how far behind it is."""
    async with asyncio.timeout(90), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
