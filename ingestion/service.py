"""The ingestion worker of one process."""

from __future__ import annotations

import asyncio
import logging
import signal

from ingestion.consumer import Consumer
from ingestion.fetching import Fetcher
from ingestion.pipeline import Pipeline
from ingestion.progress import publish_to
from ingestion.usage import MeteredUsage
from kit import blobs, clock, embeddings, ops_server, redis_client, vectors
from kit.publisher import Publisher
from kit.settings import (
    ClickHouseSettings,
    EmbeddingSettings,
    IngestionSettings,
    KafkaSettings,
    KnowledgeSettings,
    RedisSettings,
    SpoolSettings,
    load,
)
from kit.tasks import ended

log = logging.getLogger(__name__)


async def serve() -> int:
    """Work until told to stop; return the process's exit code."""
    settings, kafka = load(IngestionSettings), load(KafkaSettings)
    publisher = Publisher(kafka, load(SpoolSettings), settings.spool_dir)
    redis = redis_client.connect(load(RedisSettings))
    store = vectors.connect(load(KnowledgeSettings), load(ClickHouseSettings))
    embedder = embeddings.connect(load(EmbeddingSettings))
    await publisher.start()
    pipeline = Pipeline(
        Fetcher(blobs.open_blobs(), settings),
        embedder,
        store,
        MeteredUsage(redis, publisher, kafka.partitions, clock.now_ms),
        publish_to(publisher),
        settings=settings,
        clock=clock.now_ms,
    )
    consumer = Consumer(pipeline, publisher, kafka, settings, clock.now_ms)

    async def readiness() -> dict[str, str]:
        return {} if consumer.connected else {"kafka": "requests are not being read"}

    ops = None
    if settings.metrics_port:
        ops = await ops_server.serve(settings.metrics_port, readiness, settings.metrics_host)
    try:
        return await _until_told(consumer)
    finally:
        if ops is not None:
            await ops.cleanup()
        await store.close()
        await embedder.close()
        await redis.aclose()
        await publisher.stop()


async def _until_told(consumer: Consumer) -> int:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    work, stop = asyncio.create_task(consumer.run()), asyncio.create_task(told.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if work.done():
        log.critical("the worker stops", exc_info=work.exception())
        return 1
    await ended(work)
    return 0
