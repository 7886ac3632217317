"""How fast one metering worker turns events into counters and charges, beside readers that only count."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from bench_events import publish_backlog
from bench_rig import Rig, at_rest, process, servers_for, time_until_applied

from kit import redis_client
from schemas import keys

_RUNS = 60_000
_WARM_RUNS = 3_000


#: Who reads the same events, and how it is started.
_PEERS = {
    "stock Faust: decoded and counted": ["stock_faust.py"],
    "raw aiokafka, getmany: decoded and counted": ["counting.py", "aiokafka"],
    "confluent-kafka: decoded and counted": ["counting.py", "confluent"],
}


async def measure(folder: Path) -> dict[str, Any]:
    """Return events per second of wall time and of processor time, ours and each peer's."""
    async with servers_for(folder) as rig:
        wall, cpu, bytes_per_run = await _ours(rig)
        peers = {name: await _peer(rig, *argv) for name, argv in _PEERS.items()}
    return {
        "ours": {"per_s": wall, "per_cpu_s": cpu},
        "peers": {name: {"per_s": found[0], "per_cpu_s": found[1]} for name, found in peers.items()},
        "redis_bytes_per_run": bytes_per_run,
    }


async def _ours(rig: Rig) -> tuple[float, float, float]:
    """Start the worker on a backlog: it catches up at full speed. Also returns Redis' bytes for each run."""
    await publish_backlog(rig.kafka.bootstrap, rig.kafka.partitions, _WARM_RUNS, "warm")
    with process(["-m", "streams.metering"], rig.environment(), rig.folder / "metering.log") as worker:
        # Warm: imports, assignment, the first compilation of the script.
        await time_until_applied(rig, 1, worker.pid)
        before = await at_rest(rig)
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


async def _peer(rig: Rig, script: str, *arguments: str) -> tuple[float, float]:
    """Read the same events with a peer; its own clock starts at its first event."""
    log = rig.folder / f"{script}-{'-'.join(arguments)}.log"
    with process([str(Path(__file__).parent / script), *arguments], rig.environment(), log):
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            lines = [line.split() for line in log.read_text().splitlines() if line.startswith("BENCH")]
            if len(lines) >= 5:
                (_, seen0, wall0, cpu0), (_, seen, wall, cpu) = lines[0], lines[-1]
                events = int(seen) - int(seen0)
                return events / (float(wall) - float(wall0)), events / (float(cpu) - float(cpu0))
            await asyncio.sleep(0.25)
    raise TimeoutError(f"{script} did not read 250,000 events in 240 s")
