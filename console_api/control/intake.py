"""Hears topics that the control plane keeps something of, and hands what is new to whoever writes it down.

Written first, committed to Kafka after: what a crash in between repeats is there already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, KafkaError
from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError

from kit import kafka_access
from kit.settings import KafkaSettings
from schemas.topics import Topic

log = logging.getLogger(__name__)

_BATCH = 100
_POLL_MS = 500
_RETRY_S = 2.0

#: Writes a batch of a topic's events down. Repeats are harmless.
Taker = Callable[[Sequence[Struct]], Awaitable[None]]


class Intake:
    """One member of a group. Any number of console APIs may run one."""

    def __init__(self, kafka: KafkaSettings, group: str, takers: Mapping[Topic, Taker]) -> None:
        self._kafka = kafka
        self._group = group
        self._takers = {topic.name: (topic.event, taker) for topic, taker in takers.items()}

    async def run(self) -> None:
        """Listen for ever."""
        said = False
        while True:
            try:
                await self._session()
            except (KafkaError, SQLAlchemyError, OSError) as error:
                # Once: while Kafka is away there is nothing new to say.
                level = logging.DEBUG if said else logging.WARNING
                log.log(level, "topics are not heard", extra={"group": self._group, "error": repr(error)})
                said = True
            except Exception:
                log.exception("hearing topics failed")
            await asyncio.sleep(_RETRY_S)

    async def _session(self) -> None:
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
                for place, records in found.items():
                    await self.take(place.topic, [record.value for record in records])
                if found:
                    with contextlib.suppress(CommitFailedError):
                        await consumer.commit()
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.stop()

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
