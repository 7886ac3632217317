"""Hears from the ingestion workers how far sources are, and writes it down.

Written first, committed to Kafka after: what a crash in between repeats is older than what the row says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, KafkaError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.outbox import service as outbox
from console_api.database.engine import Database
from console_api.database.tables import KnowledgeSource
from console_api.knowledge import repository
from kit import kafka_access
from kit.settings import KafkaSettings
from schemas import topics
from schemas.ingestion import SourceProgress

log = logging.getLogger(__name__)

GROUP = "runmeter-knowledge"
HOUR_MS = 3_600_000
_BATCH = 200
_POLL_MS = 500
_RETRY_S = 2.0


class ProgressListener:
    """One member of the group that reads progress. Any number of console APIs may run one."""

    def __init__(self, database: Database, kafka: KafkaSettings) -> None:
        self._database = database
        self._kafka = kafka

    async def run(self) -> None:
        """Listen for ever."""
        said = False
        while True:
            try:
                await self._session()
            except (KafkaError, SQLAlchemyError, OSError) as error:
                # Once: while Kafka is away there is nothing new to say.
                log.log(
                    logging.DEBUG if said else logging.WARNING,
                    "progress of sources is not heard",
                    extra={"error": repr(error)},
                )
                said = True
            except Exception:
                log.exception("hearing progress of sources failed")
            await asyncio.sleep(_RETRY_S)

    async def _session(self) -> None:
        consumer = AIOKafkaConsumer(
            topics.INGESTION_PROGRESS.name,
            **kafka_access.options(self._kafka),
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            while True:
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
                events = [event for records in found.values() for event in _decoded(r.value for r in records)]
                if events:
                    async with self._database.writing() as session:
                        for event in events:
                            await apply(session, event)
                if found:
                    with contextlib.suppress(CommitFailedError):
                        await consumer.commit()
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.stop()


async def apply(session: AsyncSession, event: SourceProgress) -> bool:
    """Make a source's row say what is the news about it; return whether it was news."""
    row = await repository.any_source(session, event.source_id)
    if row is None or event.version != row.version or row.status == "deleted":
        return False
    if (event.attempt_ms, event.seq) <= (row.attempt_ms, row.seq) and event.status not in (
        "ready",
        "deleted",
    ):
        return False
    if bool(row.deleted_at_ms) != (event.status == "deleted"):
        return False
    row.attempt_ms, row.seq = event.attempt_ms, event.seq
    row.status, row.updated_at_ms = event.status, event.occurred_at_ms
    row.done, row.total, row.unit = event.done, event.total, event.unit
    row.error_code, row.error = event.error_code, event.error
    row.page_errors = tuple(event.page_errors)
    if event.status == "ready":
        row.pages, row.chunks, row.tokens = event.pages, event.chunks, event.tokens
        row.ready_at_ms, row.model = event.occurred_at_ms, event.model
        row.size_bytes = event.bytes or row.size_bytes
    if event.status in ("ready", "failed") and row.resync_hours:
        row.next_sync_ms = event.occurred_at_ms + row.resync_hours * HOUR_MS
    if event.status == "deleted":
        _forget(row)
    if event.status in ("ready", "failed", "deleted"):
        # Whether there is anything to search is a part of what gateways know of the instance.
        await outbox.project(session, "instance", row.instance_id, event.occurred_at_ms)
    return True


def _forget(row: KnowledgeSource) -> None:
    """Leave of a deleted source that there was one."""
    row.title = row.url = row.blob = ""
    row.size_bytes = row.pages = row.chunks = row.tokens = row.next_sync_ms = 0


def _decoded(values: Iterable[bytes | None]) -> Iterable[SourceProgress]:
    for value in values:
        try:
            yield msgspec.json.decode(value or b"", type=SourceProgress)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("progress that cannot be read was skipped", extra={"error": repr(error)})
