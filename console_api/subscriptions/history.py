"""What became of a subscription, in the audit log."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control import audit
from console_api.database.tables import Subscription

#: Who does what nobody asked for: time, and what providers tell.
ACTOR = "subscriptions"


def record(
    session: AsyncSession,
    row: Subscription,
    action: str,
    at_ms: int,
    *,
    actor: str = ACTOR,
    **details: object,
) -> None:
    """Note what was done to a subscription, by default by itself."""
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=actor,
        action=action,
        target=("subscription", row.subscription_id),
        at_ms=at_ms,
        **details,
    )
