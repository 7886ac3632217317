"""Does the reconciliations that are asked for, one at a time, each in a process of its own.

A request is committed before it is done: one that kills its process does not come back for ever, and whoever
asked sees that no answer came.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from kit.clock import Clock
from kit.publisher import Publisher
from kit.settings import KafkaSettings
from kit.spool import SpoolFull
from schemas import topics
from schemas.events import encode
from schemas.reconciliation import Reconciliation, ReconciliationRequest
from streams.relay import metrics

log = logging.getLogger(__name__)

GROUP = "runmeter-reconcile"
#: What waited longer is not done any more: whoever asked has asked again, or looks elsewhere.
_STALE_MS = 15 * 60_000
_TIMEOUT_S = 600.0
_RETRY_S = 2.0
_MAX_ANSWER_BYTES = 1 << 20


class Reconciler:
    """One member of the group that reads requests."""

    def __init__(self, kafka: KafkaSettings, publisher: Publisher, clock: Clock) -> None:
        self._kafka = kafka
        self._publisher = publisher
        self._clock = clock

    async def run(self) -> None:
        """Do what is asked for, for ever."""
        while True:
            try:
                await self._session()
            except (KafkaError, SpoolFull, OSError) as error:
                log.warning("reconciling waits", extra={"error": repr(error)})
            await asyncio.sleep(_RETRY_S)

    async def _session(self) -> None:
        consumer = AIOKafkaConsumer(
            topics.RECONCILE_REQUESTS.name,
            bootstrap_servers=self._kafka.bootstrap,
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=1,
            max_poll_interval_ms=int(_TIMEOUT_S * 1_500),
        )
        try:
            await consumer.start()
            async for record in consumer:
                await consumer.commit()
                await self.take(record.value)
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.stop()

    async def take(self, value: bytes | None) -> None:
        """Do one request and publish what came of it."""
        try:
            request = msgspec.json.decode(value or b"", type=ReconciliationRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("a request cannot be read", extra={"error": repr(error)})
            return
        if self._clock() - request.requested_at_ms > _STALE_MS:
            log.info("a request is too old", extra={"request": request.request_id})
            return
        report = await self._done(request)
        _measure(report)
        await self._publisher.publish(topics.RECONCILIATIONS, report.tenant_id, report)

    async def _done(self, request: ReconciliationRequest) -> Reconciliation:
        began = self._clock()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streams.reconcile",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_ANSWER_BYTES,
        )
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                out, _ = await process.communicate(encode(request))
            return msgspec.json.decode(out, type=Reconciliation)
        except (TimeoutError, msgspec.DecodeError) as error:
            said = "it took too long" if isinstance(error, TimeoutError) else "it ended without an answer"
            return Reconciliation(
                request_id=request.request_id,
                tenant_id=request.tenant_id,
                error=said,
                started_at_ms=began,
                finished_at_ms=self._clock(),
            )
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _measure(report: Reconciliation) -> None:
    tenant = report.tenant_id
    if report.error:
        metrics.FAILED.labels(tenant).inc()
        return
    metrics.COMPLETENESS.labels(tenant).set(report.records_stored / report.records if report.records else 1)
    metrics.FRESHNESS.labels(tenant).set(report.behind_ms / 1000)
    if not (report.different and report.in_flight):
        metrics.DIFFERENCES.labels(tenant).set(report.different)
    metrics.FINISHED.labels(tenant).set(report.finished_at_ms / 1000)
