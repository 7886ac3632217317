"""Having a provider collect no more for a subscription that has ended here.

That it has ended is committed first, together with when to ask; then its provider is asked, outside of any
transaction. A crash in between asks again, which is harmless: what has ended there stays ended.
"""

from __future__ import annotations

import logging

from console_api.alerts.telling import Fact, tell
from console_api.control.plane import ControlPlane
from console_api.database.tables import Subscription
from console_api.payments import port
from console_api.payments.providers import OFFLINE, Providers
from console_api.subscriptions import history, repository
from kit.problems import Problem

log = logging.getLogger(__name__)

#: It is asked again after a minute, twice as long each time up to an hour, for about a day in all.
MAX_ASKS = 30
_AGAIN_MS = 60_000
_AGAIN_MAX_MS = 3_600_000


def arm(row: Subscription, now_ms: int) -> None:
    """Have the provider of a locked subscription asked to collect no more, if one collects for it."""
    if row.provider_ref and row.provider not in OFFLINE:
        row.stop_due_at_ms, row.stop_attempts = now_ms, 0


async def stop(plane: ControlPlane, providers: Providers, subscription_id: str) -> bool:
    """Ask the provider if that is due; return whether it collects no more."""
    async with plane.database.writing() as session:
        row = await repository.one(session, subscription_id, lock=True)
        now = plane.clock()
        if row is None or not 0 < row.stop_due_at_ms <= now:
            return row is not None and not row.stop_due_at_ms
        name, ref = row.provider, row.provider_ref or ""
        # Whoever else looks meanwhile leaves it alone.
        row.stop_due_at_ms = now + min(_AGAIN_MS << row.stop_attempts, _AGAIN_MAX_MS)
        row.stop_attempts += 1
    try:
        await providers.get(name).cancel(ref, at_period_end=False)
    except (port.Unavailable, port.Refused, Problem) as error:
        log.warning(
            "a provider still collects", extra={"subscription_id": subscription_id, "error": str(error)}
        )
        await _refused(plane, subscription_id, str(error))
        return False
    await stopped(plane, subscription_id)
    return True


async def stopped(plane: ControlPlane, subscription_id: str) -> None:
    """Note that a subscription's provider collects no more."""
    async with plane.database.writing() as session:
        row = await repository.one(session, subscription_id, lock=True)
        if row is not None and row.stop_due_at_ms:
            row.stop_due_at_ms = 0
            history.record(session, row, "subscription.stopped", plane.clock())


async def _refused(plane: ControlPlane, subscription_id: str, reason: str) -> None:
    """Give up after so many times, and say so. The next payment, or a cancellation, asks anew."""
    async with plane.database.writing() as session:
        row = await repository.one(session, subscription_id, lock=True)
        if row is None or row.stop_attempts < MAX_ASKS:
            return
        row.stop_due_at_ms = 0
        now = plane.clock()
        log.error("a provider could not be stopped", extra={"subscription_id": subscription_id})
        history.record(session, row, "subscription.not_stopped", now, reason=reason[:300])
        fact = Fact(
            row.tenant_id,
            row.org_id,
            "payment",
            subject=row.subscription_id,
            threshold="not_stopped",
            period=str(now),
            occurred_at_ms=now,
            details={"what": "not_stopped", "reason": reason[:300]},
        )
        await tell(session, fact, now)
