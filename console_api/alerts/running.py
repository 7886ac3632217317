"""What alerts need in one process: ears for limits, eyes on spending, and somebody who delivers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from console_api.alerts.delivery import Deliverer
from console_api.alerts.intake import GROUP, LimitsIntake
from console_api.alerts.trying import Tries
from console_api.alerts.watch import Watch
from console_api.alerts.ways import Ways
from console_api.control.intake import Intake
from console_api.control.plane import ControlPlane
from console_api.stores import Stores
from kit.connectors.outbound import Outbound
from kit.mail import mailer_of
from kit.settings import AlertSettings, KafkaSettings, SmtpSettings, load
from kit.tasks import ended
from schemas import topics

log = logging.getLogger(__name__)

_RETRY_S = 1.0


@dataclass(frozen=True)
class AlertsConfig:
    """The settings of alerts; without a mail server nobody is written to."""

    alerts: AlertSettings = field(default_factory=AlertSettings)
    smtp: SmtpSettings = field(default_factory=SmtpSettings)

    @classmethod
    def load(cls) -> AlertsConfig:
        """Read the environment. Raises `SystemExit` with the variable to correct."""
        config = cls(load(AlertSettings), load(SmtpSettings))
        mailer_of(config.smtp)
        return config


@dataclass(frozen=True)
class Alerts:
    """What there is to work with."""

    settings: AlertSettings
    ways: Ways
    tries: Tries


@asynccontextmanager
async def running(
    config: AlertsConfig, plane: ControlPlane, stores: Stores, outbound: Outbound, kafka: KafkaSettings
) -> AsyncIterator[Alerts]:
    """Hear, watch and deliver until the block ends."""
    settings = config.alerts
    ways = Ways(mailer_of(config.smtp), outbound, settings.console_url)
    limits = LimitsIntake(plane.database, settings, plane.clock, stores.metrics)
    intake = Intake(kafka, GROUP, {topics.LIMITS: limits.take}, stores.metrics)
    deliverer = Deliverer(plane, ways, settings, plane.clock, stores.metrics)
    work = [
        asyncio.create_task(_work(plane, run))
        for run in (intake.run, Watch(plane, stores, settings).run, deliverer.run)
    ]
    try:
        yield Alerts(settings, ways, Tries(settings.test_every_s, plane.clock))
    finally:
        await ended(*work)


async def _work(plane: ControlPlane, run: Callable[[], Awaitable[None]]) -> None:
    """Run a task that never ends, again if a fault of ours ended it."""
    await plane.ready.wait()
    while True:
        try:
            await run()
        except Exception:
            log.exception("a task of alerts failed")
        await asyncio.sleep(_RETRY_S)


def _alerts(request: Request) -> Alerts:
    alerts = request.app.state.alerts
    assert isinstance(alerts, Alerts)
    return alerts


AlertsDep = Annotated[Alerts, Depends(_alerts)]
