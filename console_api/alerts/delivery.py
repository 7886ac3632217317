"""Sends the messages of alerts until they are taken, or given up.

1. Take: attempts + 1 and the time of the next try are written, in one transaction. A process that dies from
   here on has its messages sent again when that time has come, by any process.
2. Send, with no transaction open.
3. Settle: sent, waiting for the next try, or dead. A kill between 2 and 3 sends the message twice, under the
   same `webhook-id` and `Message-ID`; receivers of webhooks drop the second by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import cast

from console_api.alerts import repository, wording
from console_api.alerts.kinds import AlertKind
from console_api.alerts.targets import target_of
from console_api.alerts.ways import Message, NotTaken, NoWay, Target, Ways
from console_api.control.outbox.relay import OUTAGES
from console_api.control.plane import ControlPlane
from console_api.database.tables import Alert, AlertDelivery
from console_api.metrics import Metrics
from kit.clock import Clock
from kit.settings import AlertSettings
from metering.windows import DAY_MS

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_MAX_ERROR = 500
_PURGE_BATCH = 500
_PURGE_EVERY_MS = 3_600_000


@dataclass(frozen=True)
class _Job:
    """A message under way, or why it cannot be sent."""

    delivery_id: str
    attempts: int
    message: Message
    target: Target | NotTaken


class Deliverer:
    """Delivers for one process. Others may run elsewhere; a message is under way in one of them."""

    def __init__(
        self, plane: ControlPlane, ways: Ways, settings: AlertSettings, clock: Clock, metrics: Metrics
    ) -> None:
        self._plane = plane
        self._ways = ways
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._committed = plane.database.on_commit()
        self._purge_at_ms = 0

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            self._committed.clear()
            try:
                sent = await self.turn()
                await self._purge()
            except OUTAGES as error:
                log.warning("alerts wait", extra={"error": repr(error)})
                await asyncio.sleep(_RETRY_S)
                continue
            if not sent:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.poll_ms / 1000):
                        await self._committed.wait()

    async def turn(self) -> int:
        """Try what is due; return how many messages that was. Raises one of `OUTAGES`."""
        jobs = await self._take()
        # Together: one receiver that hangs must not hold up the others for long.
        done = await asyncio.gather(*(self._deliver(job) for job in jobs), return_exceptions=True)
        for error in done:
            if error is not None:
                raise error
        return len(jobs)

    async def _take(self) -> list[_Job]:
        database, now_ms = self._plane.database, self._clock()
        async with database.reading() as session:
            self._metrics.alerts_waiting.set(await repository.waiting(session))
            if not await repository.has_due(session, now_ms):
                return []
        jobs: list[_Job] = []
        async with database.writing() as session:
            for row, alert, org_name in await repository.due(session, now_ms, self._settings.batch):
                row.attempts += 1
                row.next_try_at_ms = now_ms + max(self._settings.lease_ms, self._pause_ms(row.attempts))
                target: Target | NotTaken
                try:
                    target = await target_of(session, self._plane.seal, alert.org_id, row.channel_id)
                except NotTaken as error:
                    target = error
                message = message_of(row, alert, org_name, now_ms)
                jobs.append(_Job(row.delivery_id, row.attempts, message, target))
        return jobs

    async def _deliver(self, job: _Job) -> None:
        try:
            if isinstance(job.target, NotTaken):
                raise job.target
            aside = await self._ways.send(job.target, job.message)
        except NoWay as error:
            await self._settle(job, "skipped", str(error))
        except NotTaken as error:
            await self._failed(job, str(error), final=error.final)
        except Exception as error:
            # A fault of ours, of this message: the others go on. Its text might hold a credential.
            log.exception("an alert was not sent", extra={"delivery_id": job.delivery_id})
            await self._failed(job, f"it could not be sent ({type(error).__name__})", final=False)
        else:
            await self._settle(job, "sent", aside)

    async def _failed(self, job: _Job, why: str, *, final: bool) -> None:
        if final or job.attempts >= self._settings.max_attempts:
            await self._settle(job, "dead", why)
            return
        log.warning("an alert waits", extra={"delivery_id": job.delivery_id, "error": why})
        again_ms = self._clock() + self._pause_ms(job.attempts)
        async with self._plane.database.writing() as session:
            await repository.settle(
                session, job.delivery_id, job.attempts, next_try_at_ms=again_ms, error=why[:_MAX_ERROR]
            )
        self._metrics.alert_deliveries.labels("retried").inc()

    async def _settle(self, job: _Job, status: str, why: str) -> None:
        values: dict[str, object] = {"status": status, "error": why[:_MAX_ERROR]}
        if status == "sent":
            values["sent_at_ms"] = self._clock()
        # That it was sent is true whoever tried since; that it failed is only of this attempt.
        attempts = None if status == "sent" else job.attempts
        async with self._plane.database.writing() as session:
            await repository.settle(session, job.delivery_id, attempts, **values)
        self._metrics.alert_deliveries.labels(status).inc()
        if status == "dead":
            log.error("an alert was given up", extra={"delivery_id": job.delivery_id, "error": why})

    def _pause_ms(self, attempts: int) -> int:
        return min(self._settings.retry_max_ms, self._settings.retry_min_ms << (attempts - 1))

    async def _purge(self) -> None:
        now_ms = self._clock()
        if now_ms < self._purge_at_ms:
            return
        async with self._plane.database.writing() as session:
            gone = await repository.purge(session, now_ms - self._settings.keep_days * DAY_MS, _PURGE_BATCH)
        self._purge_at_ms = now_ms + (0 if gone == _PURGE_BATCH else _PURGE_EVERY_MS)


def message_of(row: AlertDelivery, alert: Alert, org_name: str, now_ms: int) -> Message:
    """Return a delivery's message. `now_ms`: when it is signed."""
    kind = cast(AlertKind, alert.kind)
    return Message(
        row.delivery_id,
        f"alert.{kind}",
        wording.said(kind, alert.details),
        org_name,
        now_ms,
        {
            "alert_id": alert.alert_id,
            "tenant_id": alert.tenant_id,
            "org_id": alert.org_id,
            "kind": kind,
            "subject": alert.subject,
            "occurred_at_ms": alert.occurred_at_ms,
            "details": alert.details,
        },
    )
