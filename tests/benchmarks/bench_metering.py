"""How fast one metering worker turns real events into counters and charges, beside stock Faust."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench_events import publish_backlog
from bench_rig import Rig, applied, process, servers_for, time_until_applied

from kit import redis_client
from schemas import keys

_RUNS = 60_000
_WARM_RUNS = 3_000


async def measure(folder: Path) -> dict[str, float]:
    """Return events per second of wall time and of processor time, ours and the peer's."""
    async with servers_for(folder) as rig:
        ours_wall, ours_cpu, bytes_per_run = await _ours(rig)
        stock_wall, stock_cpu = await _stock(rig)
    return {
        "metering_per_s": ours_wall,
        "metering_per_cpu_s": ours_cpu,
        "gigabytes_per_million_runs": bytes_per_run * 1_000_000 / 1e9,
        "stock_faust_per_s": stock_wall,
        "stock_faust_per_cpu_s": stock_cpu,
    }


async def _ours(rig: Rig) -> tuple[float, float, float]:
    """Start the worker on a backlog: it catches up at full speed. Also returns Redis' bytes for each run."""
    await publish_backlog(rig.kafka.bootstrap, rig.kafka.partitions, _WARM_RUNS, "warm")
    with process(["-m", "streams.metering"], rig.environment(), rig.folder / "metering.log") as worker:
        # Warm: imports, assignment, the first compilation of the script.
        await time_until_applied(rig, 1, worker.pid)
        before = await _at_rest(rig)
    memory = await _memory(rig)
    events = await publish_backlog(rig.kafka.bootstrap, rig.kafka.partitions, _RUNS, "bench")
    with process(["-m", "streams.metering"], rig.environment(), rig.folder / "metering.log") as worker:
        wall, cpu = await time_until_applied(rig, before + events, worker.pid)
    # The outbox stands: nobody relays here. It is empty in a running system.
    held = await _memory(rig) - memory - await _outbox(rig)
    return events / wall, events / cpu, held / _RUNS


async def _memory(rig: Rig) -> int:
    redis = redis_client.connect(rig.redis)
    try:
        return int((await redis.info("memory"))["used_memory"])
    finally:
        await redis.aclose()


async def _outbox(rig: Rig) -> int:
    redis = redis_client.connect(rig.redis)
    try:
        sizes = [await redis.memory_usage(keys.outbox(p), samples=0) for p in range(rig.kafka.partitions)]
        return sum(size or 0 for size in sizes)
    finally:
        await redis.aclose()


async def _at_rest(rig: Rig) -> int:
    last = -1
    while (now := await applied(rig)) != last:
        last = now
        await asyncio.sleep(1.0)
    return last


async def _stock(rig: Rig) -> tuple[float, float]:
    """Read the same events with the stock agent; its own clock starts at its first event."""
    log = rig.folder / "stock.log"
    with process([str(Path(__file__).parent / "stock_faust.py")], rig.environment(), log):
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            lines = [line.split() for line in log.read_text().splitlines() if line.startswith("BENCH")]
            if len(lines) >= 5:
                (_, seen0, wall0, cpu0), (_, seen, wall, cpu) = lines[0], lines[-1]
                events = int(seen) - int(seen0)
                return events / (float(wall) - float(wall0)), events / (float(cpu) - float(cpu0))
            await asyncio.sleep(0.25)
    raise TimeoutError("the stock agent did not read 250,000 events in 240 s")
