"""Does the reconciliations that are asked for, one at a time, each in a process of its own.

A request is committed before it is done: one that kills its process does not come back for ever, and whoever
asked sees that no answer came.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections import OrderedDict

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from kit import kafka_access
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
_MAX_TENANTS = 1_000


class Reconciler:
    """One member of the group that reads requests."""

    def __init__(self, kafka: KafkaSettings, publisher: Publisher, clock: Clock) -> None:
        self._kafka = kafka
        self._publisher = publisher
        self._clock = clock
        self._seen = _Seen()

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
            **kafka_access.options(self._kafka),
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
        if not (request.only_org_id or request.since_ms):
            # What is said of a part would stand for the whole.
            self._seen.note(report)
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


class _Seen:
    """The tenants' last reports, as metrics without a tenant in them: the worst, or all together."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, Reconciliation] = OrderedDict()
        self._different: dict[str, int] = {}

    def note(self, report: Reconciliation) -> None:
        if report.error:
            metrics.FAILED.inc()
            return
        tenant = report.tenant_id
        self._last[tenant] = report
        self._last.move_to_end(tenant)
        if not (report.different and report.in_flight):
            self._different[tenant] = report.different
        while len(self._last) > _MAX_TENANTS:
            self._different.pop(self._last.popitem(last=False)[0], None)
        self._tell(report.finished_at_ms)

    def _tell(self, at_ms: int) -> None:
        last = self._last.values()
        metrics.COMPLETENESS.set(min(one.records_stored / one.records if one.records else 1 for one in last))
        metrics.FRESHNESS.set(max(one.behind_ms for one in last) / 1000)
        metrics.DIFFERENCES.set(sum(self._different.values()))
        metrics.FINISHED.set(at_ms / 1000)
