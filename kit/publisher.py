"""Publishing that keeps the rule *acknowledged ⇒ metered*.

`publish` returns only when the event is safe: acknowledged by every in-sync replica of Kafka, or, while Kafka
is away, fsynced in the local spool, from which it is published when Kafka is back. An event whose
acknowledgement was lost may be published twice; consumers fold duplicates away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import Struct

from kit import kafka_access, metrics, tracing
from kit import spool as spool_files
from kit.metrics import registry
from kit.settings import KafkaSettings, SpoolSettings
from kit.spool import Spool, SpoolFull
from kit.tasks import ended
from schemas.events import encode
from schemas.partitioning import partition_of
from schemas.topics import Topic

log = logging.getLogger(__name__)

_RETRY_MIN_S = 0.1
_RETRY_MAX_S = 2.0
_REPLAY_WINDOW = 500


class SpooledRecord(Struct, array_like=True):
    """One record on its way to Kafka."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    #: The trace that the record belongs to, if any.
    traceparent: str = ""


def new_producer(settings: KafkaSettings, **overrides: object) -> AIOKafkaProducer:
    """Return an idempotent producer that waits for all in-sync replicas."""
    options: dict[str, object] = {
        **kafka_access.options(settings),
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": settings.linger_ms,
        "max_batch_size": 262_144,
        "request_timeout_ms": max(settings.ack_timeout_ms, 5_000),
        "retry_backoff_ms": 50,
        "metadata_max_age_ms": 30_000,
    }
    return AIOKafkaProducer(**{**options, **overrides})


class Publisher:
    """Publishes events of `schemas` by org, with a spool behind it. One per process."""

    def __init__(self, kafka: KafkaSettings, spool: SpoolSettings, spool_dir: Path) -> None:
        self._kafka = kafka
        self._spool = Spool(spool_dir, spool.max_bytes)
        self._producer: AIOKafkaProducer | None = None
        self._away = True
        self._wake = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._decoder = msgspec.msgpack.Decoder(SpooledRecord)
        self._published = metrics.counter(registry.PUBLISHED)
        self._spooled = metrics.counter(registry.SPOOLED)
        self._unrecorded = metrics.counter(registry.UNRECORDED)
        metrics.gauge(registry.SPOOL_LIMIT).set(spool.max_bytes)
        # A metric outlives what it measures, and must not keep it.
        me = weakref.ref(self)
        metrics.gauge(registry.SPOOL_BYTES).set_function(lambda: ((p := me()) and p.spooled_bytes) or 0)
        metrics.gauge(registry.KAFKA_AWAY).set_function(lambda: (p := me()) is not None and p.away)

    @property
    def away(self) -> bool:
        """Whether Kafka is away, so that events go to the spool."""
        return self._away

    @property
    def spooled_bytes(self) -> int:
        return self._spool.depth_bytes

    async def start(self) -> None:
        """Connect, or start spooling when Kafka is away; then tend the connection and the spool."""
        await self._reconnect()
        self._tending = asyncio.create_task(self._tend())

    async def stop(self) -> None:
        """Flush what Kafka takes within the acknowledgement timeout; the spool keeps the rest."""
        if self._tending is not None:
            await ended(self._tending)
        await self._close_producer()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=self._kafka.ack_timeout_ms / 1000)

    async def publish(self, topic: Topic, org_id: str, event: Struct) -> None:
        """Make one event durable. Raises `kit.spool.SpoolFull` when neither Kafka nor the disk takes it."""
        partition = partition_of(org_id, self._kafka.partitions)
        with tracing.sending(topic.name):
            await self._publish(
                SpooledRecord(topic.name, partition, org_id.encode(), encode(event), tracing.traceparent())
            )

    async def _publish(self, record: SpooledRecord) -> None:
        if not self._away:
            try:
                await self._send(record)
            except (KafkaError, TimeoutError, OSError) as error:
                self._lost_kafka(error)
            else:
                return
        try:
            await self._put_aside(record)
        finally:
            # Of one that is cancelled meanwhile, too: it is written all the same.
            self._wake.set()

    async def _put_aside(self, record: SpooledRecord) -> None:
        try:
            await self._spool.append(msgspec.msgpack.encode(record))
        except SpoolFull:
            self._unrecorded.inc()
            raise
        self._spooled.inc()

    async def _send(self, record: SpooledRecord) -> None:
        if self._producer is None:
            raise ConnectionError("there is no connection to Kafka")
        async with asyncio.timeout(self._kafka.ack_timeout_ms / 1000):
            acknowledged = await self._producer.send(
                record.topic,
                record.value,
                key=record.key,
                partition=record.partition,
                headers=_headers(record.traceparent),
            )
            await acknowledged
        self._published.inc()

    def _lost_kafka(self, error: Exception) -> None:
        if not self._away:
            log.warning("Kafka is away, spooling", extra={"error": repr(error)})
        self._away = True
        self._wake.set()

    async def _tend(self) -> None:
        """Bring Kafka back and empty the spool, for ever."""
        delay = _RETRY_MIN_S
        while True:
            if not self._away:
                # What is still being written is not there yet, and may be the last to say so.
                await self._spool.flushed()
                if self._spool.oldest() is None:
                    self._wake.clear()
                    await self._wake.wait()
            try:
                if self._away:
                    await self._reconnect()
                if not self._away:
                    await self._replay()
                    delay = _RETRY_MIN_S
                    continue
            except (KafkaError, TimeoutError, OSError) as error:
                self._lost_kafka(error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RETRY_MAX_S)

    async def _reconnect(self) -> None:
        # A fresh producer: after an expired batch an idempotent one refuses to go on.
        await self._close_producer()
        producer = new_producer(self._kafka)
        try:
            await self._in_time(producer.start(), producer)
        except (KafkaError, TimeoutError, OSError) as error:
            self._lost_kafka(error)
            return
        self._producer = producer
        if self._away:
            log.info("connected to Kafka")
        self._away = False

    async def _in_time(self, work: Coroutine[Any, Any, None], producer: AIOKafkaProducer) -> None:
        """Start or stop a producer, or leave it to end by itself, which it does after its request's timeout.

        Cancelled instead, aiokafka forgets a connection it opened, or keeps its sender, which connects again.
        """
        task = asyncio.create_task(work)
        try:
            async with asyncio.timeout(self._kafka.ack_timeout_ms / 1000):
                await asyncio.shield(task)
        except BaseException:
            leaving = asyncio.create_task(_abandon(task, producer))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            raise

    async def _replay(self) -> None:
        while (segment := self._spool.oldest()) is not None:
            window: list[SpooledRecord] = []
            for payload in spool_files.read(segment):
                window.append(self._decoder.decode(payload))
                if len(window) >= _REPLAY_WINDOW:
                    await asyncio.gather(*(self._send(record) for record in window))
                    window.clear()
            await asyncio.gather(*(self._send(record) for record in window))
            self._spool.remove(segment)
            log.info("published a spool segment", extra={"segment": segment.name})

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            await self._in_time(producer.stop(), producer)
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("the producer did not stop cleanly", extra={"error": repr(error)})


def _headers(traceparent: str) -> list[tuple[str, bytes]] | None:
    return [(tracing.HEADER, traceparent.encode())] if traceparent else None


async def _abandon(task: asyncio.Task[None], producer: AIOKafkaProducer) -> None:
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
    with contextlib.suppress(Exception):
        await producer.stop()
