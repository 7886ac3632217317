"""Money that bought nothing: its order was paid already, or what it was for had ended.

It is kept as a payment like any other, so that an operator can return it (`POST /orders/{id}:refund`).
"""

from __future__ import annotations

import logging

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts.telling import Fact, tell
from console_api.control import audit
from console_api.database.tables import Payment

log = logging.getLogger(__name__)


async def tell_of(session: AsyncSession, target: tuple[str, str], payment_id: str, now_ms: int) -> None:
    """Let the org and the operators hear of a payment that was just added. `target`: what it was for."""
    paid = await session.get_one(Payment, payment_id)
    kind, identity = target
    audit.record(
        session,
        tenant_id=paid.tenant_id,
        org_id=paid.org_id,
        actor=paid.provider,
        action=f"{kind}.paid_for_nothing",
        target=target,
        at_ms=now_ms,
        payment_id=payment_id,
        amount_minor=paid.amount_minor,
        currency=paid.currency,
    )
    fact = Fact(
        paid.tenant_id,
        paid.org_id,
        "payment",
        subject=identity,
        threshold="surplus",
        period=payment_id,
        occurred_at_ms=now_ms,
        details={
            "what": "surplus",
            "of": kind,
            "amount_minor": paid.amount_minor,
            "currency": paid.currency,
            "payment_id": payment_id,
        },
    )
    await tell(session, fact, now_ms)
    log.warning("a payment bought nothing", extra={f"{kind}_id": identity, "payment_id": payment_id})
