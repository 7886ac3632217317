"""The delivery log: its SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import CursorResult, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.statements import insert_if_new
from console_api.database.tables import WebhookDelivery
from console_api.payments.webhooks.models import Status, Told

#: Where a delivery stands in the order of the log: `received_at_ms`, `provider`, `event_id`.
Place = tuple[int, str, str]

_PLACE = (WebhookDelivery.received_at_ms, WebhookDelivery.provider, WebhookDelivery.event_id)


async def add_if_new(session: AsyncSession, provider: str, told: Told, now_ms: int) -> bool:
    """Store a delivery, unless it was stored before; return whether it was new."""
    return await insert_if_new(
        session,
        WebhookDelivery,
        provider=provider,
        event_id=told.event_id,
        kind=told.kind,
        status="received",
        payload=told.payload,
        error="",
        received_at_ms=now_ms,
        applied_at_ms=0,
    )


async def one(
    session: AsyncSession, provider: str, event_id: str, *, lock: bool = False
) -> WebhookDelivery | None:
    query = select(WebhookDelivery).where(
        WebhookDelivery.provider == provider, WebhookDelivery.event_id == event_id
    )
    return await session.scalar(query.with_for_update() if lock else query)


async def page(
    session: AsyncSession, providers: Sequence[str], status: Status | None, before: Place | None, limit: int
) -> Sequence[WebhookDelivery]:
    """Return deliveries of these providers, newest first, that come after a place in that order."""
    query = select(WebhookDelivery).where(WebhookDelivery.provider.in_(providers))
    query = query.order_by(*(column.desc() for column in _PLACE)).limit(limit)
    if status is not None:
        query = query.where(WebhookDelivery.status == status)
    if before is not None:
        query = query.where(tuple_(*_PLACE) < before)
    return (await session.scalars(query)).all()


async def waiting(session: AsyncSession, after: Place, limit: int) -> Sequence[WebhookDelivery]:
    """Return deliveries that wait to be told again, oldest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.status == "received", tuple_(*_PLACE) > after)
    return (await session.scalars(query.order_by(*_PLACE).limit(limit))).all()


async def failed_since(session: AsyncSession, received_ms: int) -> int:
    """Return how many deliveries that were received since then failed."""
    query = select(func.count()).where(
        WebhookDelivery.status == "failed", WebhookDelivery.received_at_ms >= received_ms
    )
    return await session.scalar(query) or 0


async def forget_payloads(session: AsyncSession, received_before_ms: int, limit: int) -> int:
    """Empty the payloads of old deliveries that do not wait; return of how many."""
    old = (
        select(WebhookDelivery.provider, WebhookDelivery.event_id)
        .where(
            WebhookDelivery.status != "received",
            WebhookDelivery.received_at_ms < received_before_ms,
            WebhookDelivery.payload != "",
        )
        .limit(limit)
    )
    result = await session.execute(
        update(WebhookDelivery)
        .where(tuple_(WebhookDelivery.provider, WebhookDelivery.event_id).in_(old))
        .values(payload="")
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount
