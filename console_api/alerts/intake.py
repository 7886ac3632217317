"""Hears of thresholds that wallets and caps crossed (`credits.limits`), and tells them.

Written first, committed to Kafka after: what a crash or another member repeats was told already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, KafkaError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts import repository
from console_api.alerts.telling import Fact, tell
from console_api.database.engine import Database
from console_api.metrics import Metrics
from kit import kafka_access
from kit.clock import Clock
from kit.settings import AlertSettings, KafkaSettings
from schemas import topics
from schemas.events import LimitEvent

log = logging.getLogger(__name__)

GROUP = "runmeter-alerts"
_BATCH = 200
_POLL_MS = 500
_RETRY_S = 2.0
_decoder = msgspec.json.Decoder(LimitEvent)


class LimitsIntake:
    """One member of the group that reads limits. Any number of console APIs may run one."""

    def __init__(
        self,
        database: Database,
        settings: AlertSettings,
        kafka: KafkaSettings,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._max_age_ms = settings.max_age_s * 1_000
        self._kafka = kafka
        self._clock = clock
        self._metrics = metrics

    async def run(self) -> None:
        """Listen for ever."""
        said = False
        while True:
            try:
                await self._session()
            except (KafkaError, SQLAlchemyError, OSError) as error:
                # Once: while Kafka is away there is nothing new to say.
                level = logging.DEBUG if said else logging.WARNING
                log.log(level, "limits are not heard", extra={"error": repr(error)})
                said = True
            await asyncio.sleep(_RETRY_S)

    async def _session(self) -> None:
        consumer = AIOKafkaConsumer(
            topics.LIMITS.name,
            **kafka_access.options(self._kafka),
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            while True:
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
                await self.take([record.value for records in found.values() for record in records])
                if found:
                    with contextlib.suppress(CommitFailedError):
                        await consumer.commit()
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.stop()

    async def take(self, values: Sequence[bytes | None]) -> int:
        """Tell what these records say, in one transaction; return how much of it was new."""
        events = [event for value in values if (event := _decoded(value)) is not None]
        if not events:
            return 0
        new: list[Fact] = []
        async with self._database.writing() as session:
            # In one order for all, so that two that write at once do not wait for each other for ever.
            for event in sorted(events, key=lambda event: event.event_id):
                fact = await fact_of(session, event)
                now_ms = self._clock()
                too_old = now_ms - event.occurred_at_ms > self._max_age_ms
                if fact is not None and await tell(session, fact, now_ms, too_old=too_old):
                    new.append(fact)
        for fact in new:
            self._metrics.alerts.labels(fact.kind).inc()
        return len(new)


async def fact_of(session: AsyncSession, event: LimitEvent) -> Fact | None:
    """Return what an event says to its org, `None` if there is no such org any more."""
    if await repository.org(session, event.tenant_id, event.org_id) is None:
        return None
    figures = {
        "scope": event.scope,
        "used_permille": event.used_permille,
        "used_micro": event.used_micro,
        "limit_micro": event.limit_micro,
        "period_start_ms": event.period_start_ms,
    }
    if event.scope == "org_wallet":
        return Fact(
            event.tenant_id,
            event.org_id,
            "credits",
            subject="wallet",
            threshold=str(event.used_permille),
            period=str(event.period_start_ms),
            occurred_at_ms=event.occurred_at_ms,
            level_permille=event.used_permille,
            details=figures,
        )
    name = await repository.instance_name(session, event.org_id, event.instance_id)
    return Fact(
        event.tenant_id,
        event.org_id,
        "cap",
        subject=f"{event.instance_id}/{event.scope}",
        # Another cap has thresholds of its own.
        threshold=f"{event.used_permille}/{event.limit_micro}",
        period=str(event.period_start_ms),
        occurred_at_ms=event.occurred_at_ms,
        level_permille=event.used_permille,
        details={
            **figures,
            "instance_id": event.instance_id,
            "instance": name or event.instance_id,
        },
    )


def _decoded(value: bytes | None) -> LimitEvent | None:
    try:
        return _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("a limit that cannot be read was skipped", extra={"error": repr(error)})
        return None
