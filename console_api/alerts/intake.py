"""Hears of thresholds that wallets and caps crossed (`credits.limits`), and tells them.

What a crash or another member repeats was told already.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts import repository
from console_api.alerts.telling import Fact, tell
from console_api.database.engine import Database
from console_api.metrics import Metrics
from kit.clock import Clock
from kit.settings import AlertSettings
from schemas.events import LimitEvent

GROUP = "runmeter-alerts"


class LimitsIntake:
    """Takes limits that were heard, as one of any number of console APIs."""

    def __init__(self, database: Database, settings: AlertSettings, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._max_age_ms = settings.max_age_s * 1_000
        self._clock = clock
        self._metrics = metrics

    async def take(self, events: Sequence[LimitEvent]) -> int:
        """Tell what these events say, in one transaction; return how much of it was new."""
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
