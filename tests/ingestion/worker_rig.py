"""A real worker process between a real Kafka, Valkey and ClickHouse."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from clickhouse_connect.driver.client import Client
from redis.asyncio import Redis
from waiting import PATIENCE_S, eventually

from ingestion.consumer import GROUP
from kit import clickhouse_client, projections, redis_client
from kit.blobs import FileBlobs, pieces
from kit.clock import new_id, now_ms
from kit.publisher import new_producer
from kit.settings import ClickHouseSettings, KafkaSettings
from kit.vectors.clickhouse import ClickHouseVectors
from kit.vectors.port import Place
from metering.catalog import list_price_book
from metering.price_schedule import Entry, PriceSchedule
from schemas import keys, topics
from schemas.directory import InstanceRecord, InstanceStatus, Limits
from schemas.events import encode
from schemas.ingestion import IngestionRequest, SourceProgress
from schemas.partitioning import partition_of
from schemas.topics import Topic


@dataclass
class Rig:
    """One tenant with one instance, and what its worker does."""

    kafka: KafkaSettings
    redis_url: str
    clickhouse: ClickHouseSettings
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    tenant_id: str = field(default_factory=lambda: new_id("tenant"))
    org_id: str = field(default_factory=lambda: new_id("org"))
    instance_id: str = field(default_factory=lambda: new_id("inst"))
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.blobs = FileBlobs(self.folder / "blobs")
        self.store = ClickHouseVectors(self.clickhouse)
        self.client: Client = clickhouse_client.connect_sync(self.clickhouse)

    async def prices(self) -> None:
        """Make the tenant one that can be charged."""
        redis = Redis.from_url(self.redis_url)
        book = list_price_book(datetime(2026, 1, 1, tzinfo=UTC))
        schedule = PriceSchedule((Entry(effective_from_ms=1, version=book.version),))
        await redis.set(keys.price_book(book.version), msgspec.json.encode(book))
        await redis.set(keys.price_schedule(self.tenant_id), msgspec.json.encode(schedule))
        await redis.aclose()

    async def owner(self, status: InstanceStatus = "active", **limits: Any) -> None:
        """Say how the instance stands, and what its plan allows."""
        record = InstanceRecord(
            instance_id=self.instance_id,
            tenant_id=self.tenant_id,
            org_id=self.org_id,
            name="Parrot",
            status=status,
            default_model="gpt-4o-mini",
            models=("gpt-4o-mini",),
            limits=Limits(**limits),
        )
        redis = Redis.from_url(self.redis_url)
        await redis.set(keys.instance(self.instance_id), msgspec.json.encode(record))
        await redis.aclose()

    async def wallet(self, **fields: int | str) -> None:
        """Make the wallet read so, as the metering worker and gateways write it."""
        key = keys.wallet(partition_of(self.org_id, self.kafka.partitions), self.org_id)
        redis = Redis.from_url(self.redis_url)
        await redis.delete(key)
        await redis.hset(key, mapping={name: str(value) for name, value in fields.items()})
        await redis.aclose()

    async def projected(self, *, whole: bool = True) -> None:
        """Say that Redis holds all that was projected, or that it was restarted since."""
        redis = Redis.from_url(self.redis_url)
        await projections.mark_whole(redis, await redis_client.identity(redis) if whole else "another")
        await redis.aclose()

    async def start(self) -> None:
        environment = {
            **os.environ,
            "RUNMETER_DATA_DIR": str(self.folder),
            "RUNMETER_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "RUNMETER_REDIS_URL": self.redis_url,
            "RUNMETER_CLICKHOUSE_URL": self.clickhouse.url,
            "RUNMETER_CLICKHOUSE_DATABASE": self.clickhouse.database,
            "RUNMETER_INGESTION_SPOOL_DIR": str(self.folder / "spool"),
            **self.settings,
        }
        with (self.folder / "worker.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "ingestion", env=environment, stdout=log, stderr=log
            )

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await self.end(signal.SIGKILL)
        await self.store.close()
        self.client.close()

    async def blob(self, source_id: str, data: bytes) -> str:
        digest, _ = await self.blobs.put(source_id, pieces(data), 1 << 30)
        return digest

    async def ask(self, source_id: str, version: int = 1, **fields: Any) -> IngestionRequest:
        request = IngestionRequest(
            **{
                "tenant_id": self.tenant_id,
                "org_id": self.org_id,
                "instance_id": self.instance_id,
                "source_id": source_id,
                "version": version,
                "kind": "text",
                "title": "A text",
                "requested_at_ms": now_ms(),
                **fields,
            }
        )
        await self.send(topics.INGESTION_REQUESTED, encode(request))
        return request

    async def send(self, topic: Topic, value: bytes) -> None:
        producer = new_producer(self.kafka)
        await producer.start()
        partition = partition_of(self.org_id, self.kafka.partitions)
        await producer.send_and_wait(topic.name, value, key=self.org_id.encode(), partition=partition)
        await producer.stop()

    async def said(self, topic: Topic, kind: type[Any]) -> list[Any]:
        """Return what stands on a topic about the org."""
        place = TopicPartition(topic.name, partition_of(self.org_id, self.kafka.partitions))
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            end, found = (await consumer.end_offsets([place]))[place], []
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(place, timeout_ms=200)).values():
                    found += [record.value for record in records if record.key == self.org_id.encode()]
            return [msgspec.json.decode(value, type=kind) for value in found]
        finally:
            await consumer.stop()

    async def ended(self, source_id: str, version: int = 1, within_s: float = PATIENCE_S) -> SourceProgress:
        """Return how a version ended, once it did."""
        async with asyncio.timeout(within_s):
            while True:
                for event in await self.said(topics.INGESTION_PROGRESS, SourceProgress):
                    final = event.status in ("ready", "failed", "deleted")
                    if event.source_id == source_id and event.version == version and final:
                        return event
                await asyncio.sleep(0.1)

    async def settled(self) -> None:
        """Wait until the worker's offsets are committed: all that follows from its requests was done."""
        admin = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap, group_id=GROUP, enable_auto_commit=False
        )
        place = TopicPartition(
            topics.INGESTION_REQUESTED.name, partition_of(self.org_id, self.kafka.partitions)
        )
        await admin.start()
        try:
            admin.assign([place])
            end = (await admin.end_offsets([place]))[place]

            async def committed() -> bool:
                return (await admin.committed(place) or 0) >= end

            await eventually(committed, "the offset is committed")
        finally:
            await admin.stop()

    def place(self, source_id: str) -> Place:
        return Place(tenant_id=self.tenant_id, instance_id=self.instance_id, source_id=source_id)

    async def count(self, source_id: str = "") -> int:
        return await self.store.count(self.tenant_id, self.instance_id, source_id)

    def rows(self, source_id: str) -> int:
        """Return how many rows stand in the table, whoever may read them."""
        found = self.client.query(
            "SELECT count() FROM knowledge_chunks WHERE source_id = {id:String}", parameters={"id": source_id}
        )
        return int(found.result_rows[0][0])

    def texts(self, source_id: str) -> list[str]:
        found = self.client.query(
            "SELECT text FROM knowledge_chunks WHERE source_id = {id:String} ORDER BY ordinal",
            parameters={"id": source_id},
        )
        return [row[0] for row in found.result_rows]
