"""`python -m streams.relay`: publish the ledger, reap abandoned runs, reconcile when it is asked for."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import uvloop
from redis.exceptions import RedisError

from kit import clock, logs, ops_server, redis_client, redis_clock, tracing
from kit.publisher import Publisher
from kit.settings import (
    KafkaSettings,
    RedisSettings,
    SpoolSettings,
    StackSettings,
    WorkerSettings,
    load,
)
from kit.tasks import ended
from streams.relay.outbox import OutboxRelay
from streams.relay.reaper import Reaper
from streams.relay.reconciler import Reconciler


async def main() -> None:
    """Run until SIGTERM or SIGINT."""
    stack, kafka, worker = load(StackSettings), load(KafkaSettings), load(WorkerSettings)
    redis = await redis_client.opened(load(RedisSettings))
    spool_dir: Path = stack.data_dir / "spool" / "relay"
    publisher = Publisher(kafka, load(SpoolSettings), spool_dir)
    await publisher.start()
    relay = OutboxRelay(redis, kafka, clock.now_ms)
    shared = await redis_clock.opened(redis, clock.now_ms)
    reaper = Reaper(redis, publisher, kafka.partitions, shared)

    async def readiness() -> dict[str, str]:
        problems = {"kafka": "away"} if publisher.away else {}
        try:
            await redis.ping()
        except RedisError:
            problems["redis"] = "away"
        return problems

    ops = None
    if worker.metrics_port:
        ops = await ops_server.serve(worker.metrics_port, readiness, worker.metrics_host)
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(relay.run()),
        asyncio.create_task(shared.follow()),
        asyncio.create_task(reaper.run()),
        asyncio.create_task(Reconciler(kafka, publisher, clock.now_ms).run()),
    ]
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    waiting: asyncio.Task[object] = asyncio.create_task(stopping.wait())
    # A task that ends has failed: the process ends with it and is started again.
    done, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    await ended(*tasks)
    await relay.close()
    await publisher.stop()
    await redis.aclose()
    if ops is not None:
        await ops.cleanup()
    for task in done - {waiting}:
        task.result()


if __name__ == "__main__":
    logs.configure("relay", load(StackSettings).log_level)
    tracing.configure("relay")
    uvloop.run(main())
