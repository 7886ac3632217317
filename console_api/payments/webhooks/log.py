"""The delivery log as operators see it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.database.tables import WebhookDelivery
from console_api.payments.webhooks import repository
from console_api.payments.webhooks.models import DeliveryPage, DeliveryView, Status


async def page(
    session: AsyncSession, providers: Sequence[str], status: Status | None, limit: int, cursor: str | None
) -> DeliveryPage:
    """Return a page of what these providers delivered, newest first."""
    before = cursors.decode(cursor, tuple[int, str, str]) if cursor else None
    rows = await repository.page(session, providers, status, before, limit + 1)
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    more = cursors.encode((last.received_at_ms, last.provider, last.event_id)) if last else None
    return DeliveryPage(deliveries=[view(row) for row in shown], next_cursor=more)


def operators_only(principal: Principal) -> None:
    roles.require(principal, "operator", "To see what payment providers delivered")


def view(row: WebhookDelivery) -> DeliveryView:
    status: Status = row.status  # type: ignore[assignment]
    return DeliveryView(
        provider=row.provider,
        event_id=row.event_id,
        kind=row.kind,
        status=status,
        error=row.error,
        has_payload=bool(row.payload),
        received_at_ms=row.received_at_ms,
        applied_at_ms=row.applied_at_ms,
    )
