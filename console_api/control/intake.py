"""Hears topics that the control plane keeps something of, and hands what is new to whoever writes it down.

Written first, committed to Kafka after: what a crash in between repeats is there already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError

from console_api.metrics import Metrics
from kit import kafka_access
from kit.settings import KafkaSettings
from schemas.topics import Topic

log = logging.getLogger(__name__)

_BATCH = 200
_POLL_MS = 500
_RETRY_S = 2.0

#: Writes a batch of a topic's events down. Repeats are harmless.
Taker = Callable[[Sequence[Any]], Awaitable[object]]


class Intake:
    """One member of a group. Any number of console APIs may run one.

    Its role, as metrics name it, is the group's name after `runmeter-`.
    """

    def __init__(
        self, kafka: KafkaSettings, group: str, takers: Mapping[Topic, Taker], metrics: Metrics
    ) -> None:
        self._kafka = kafka
        self._group = group
        self._takers = {topic.name: (topic.event, taker) for topic, taker in takers.items()}
        self._role = group.removeprefix("runmeter-")
        self._lag = metrics.lag
        self._stalled = metrics.stalled.labels(self._role)
        self._places: set[TopicPartition] = set()
        #: Since when nothing could be written down, by the machine's clock; 0: it could, the last time.
        self._stuck_at_s = 0.0
        self._said = False

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            try:
                await self.session()
            except (KafkaError, SQLAlchemyError, OSError) as error:
                # Once: while Kafka or the database is away there is nothing new to say.
                level = logging.DEBUG if self._said else logging.WARNING
                log.log(level, "topics are not heard", extra={"group": self._group, "error": repr(error)})
                self._said = True
            except Exception:
                log.exception("hearing topics failed")
            await asyncio.sleep(_RETRY_S)

    async def session(self) -> None:
        """Listen until something is away. Raises `KafkaError`, `OSError`, and what takers raise."""
        consumer = AIOKafkaConsumer(
            *self._takers,
            **kafka_access.options(self._kafka),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            while True:
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
                await self._measure(consumer, found)
                await self._write_down(found)
                if found:
                    with contextlib.suppress(CommitFailedError):
                        await consumer.commit()
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.stop()

    async def _measure(
        self, consumer: AIOKafkaConsumer, found: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    ) -> None:
        """Tell how many records wait: those that were just fetched do until they are written down."""
        places = set(consumer.assignment())
        # Asked for, as a poll says it of the partitions only that it has read.
        for place, end in (await consumer.end_offsets(places) if places else {}).items():
            with contextlib.suppress(IllegalStateError):
                records = found.get(place)
                done = records[0].offset if records else await consumer.position(place)
                self._lag.labels(self._role, place.topic, place.partition).set(max(0, end - done))
        for place in self._places - places:
            # Another member's now, which tells of it.
            with contextlib.suppress(KeyError):
                self._lag.remove(self._role, place.topic, place.partition)
        self._places = places

    async def _write_down(self, found: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        try:
            for place, records in found.items():
                await self.take(place.topic, [record.value for record in records])
        except Exception:
            now_s = time.monotonic()
            self._stuck_at_s = self._stuck_at_s or now_s
            self._stalled.set(now_s - self._stuck_at_s)
            raise
        if found:
            self._stuck_at_s, self._said = 0.0, False
            self._stalled.set(0)

    async def take(self, topic: str, values: Sequence[bytes | None]) -> None:
        """Hand over what can be read."""
        kind, taker = self._takers[topic]
        events = [event for value in values if (event := _decoded(topic, kind, value)) is not None]
        if events:
            await taker(events)


def _decoded(topic: str, kind: type[Struct], value: bytes | None) -> Struct | None:
    try:
        return msgspec.json.decode(value or b"", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Of the error only its kind: its text may hold what somebody said.
        log.warning("a record was skipped", extra={"topic": topic, "error": type(error).__name__})
        return None
