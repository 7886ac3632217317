"""A card whose holder disputes a payment is not charged by itself any more."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts.telling import Fact, tell
from console_api.topup import repository


async def switch_off(session: AsyncSession, org_id: str, payment_id: str, now_ms: int) -> None:
    """Switch an org's top-up off, if it is on; whoever sets its terms anew switches it on again."""
    row = await repository.one(session, org_id, lock=True)
    if row is None or not row.enabled:
        return
    row.enabled, row.error = False, "switched off: a payment was disputed"
    fact = Fact(
        row.tenant_id,
        row.org_id,
        "payment",
        subject="topup",
        threshold="topup_disputed",
        period=payment_id,
        occurred_at_ms=now_ms,
        details={"what": "topup_disputed"},
    )
    await tell(session, fact, now_ms)
