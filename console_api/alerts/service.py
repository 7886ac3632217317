"""What was told, and having a message tried again."""

from __future__ import annotations

from collections import defaultdict
from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.alerts import channels, repository, wording
from console_api.alerts.kinds import OWNERS, AlertKind
from console_api.alerts.models import AlertPage, AlertView, DeliveryView
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.errors import Conflict
from console_api.database.tables import Alert, AlertDelivery
from kit.problems import NotFound


async def page(session: AsyncSession, principal: Principal, limit: int, cursor: str | None) -> AlertPage:
    """Return a page of what the org was told. Raises `InvalidRequest` for a foreign cursor."""
    before = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.page(session, principal.org_id, before, limit + 1)
    shown = rows[:limit]
    of_alert: dict[str, list[AlertDelivery]] = defaultdict(list)
    for row in await repository.deliveries(session, [row.alert_id for row in shown]):
        of_alert[row.alert_id].append(row)
    names = {row.channel_id: row.name for row in await repository.channels(session, principal.org_id)}
    names[OWNERS] = "Owners"
    more = cursors.encode((shown[-1].created_at_ms, shown[-1].alert_id)) if len(rows) > limit else None
    return AlertPage(alerts=[_view(row, of_alert[row.alert_id], names) for row in shown], next_cursor=more)


async def retry(session: AsyncSession, principal: Principal, delivery_id: str, now_ms: int) -> DeliveryView:
    """Have a message tried again from the beginning, under the same id. Raises `Conflict` if it was sent."""
    channels.may_change(principal)
    found = await repository.delivery_of(session, principal.org_id, delivery_id)
    if found is None:
        raise NotFound("There is no such message; list what was told at /api/v1/alerts.")
    row, _ = found
    if row.status == "sent":
        raise Conflict("It was sent.")
    if row.status != "waiting":
        row.status, row.attempts = "waiting", 0
        row.next_try_at_ms = now_ms
        audit.record(
            session,
            tenant_id=principal.tenant_id,
            org_id=principal.org_id,
            actor=principal.subject,
            action="alert_delivery.retry",
            target=("alert_delivery", delivery_id),
            at_ms=now_ms,
        )
    return _delivery(row, "")


def _view(row: Alert, deliveries: list[AlertDelivery], names: dict[str, str]) -> AlertView:
    kind = cast(AlertKind, row.kind)
    told = wording.said(kind, row.details)
    return AlertView(
        alert_id=row.alert_id,
        kind=kind,
        title=told.title,
        text=told.text,
        subject=row.subject,
        details=row.details,
        occurred_at_ms=row.occurred_at_ms,
        deliveries=[_delivery(one, names.get(one.channel_id, "")) for one in deliveries],
    )


def _delivery(row: AlertDelivery, name: str) -> DeliveryView:
    return DeliveryView.model_validate(
        {
            "delivery_id": row.delivery_id,
            "channel_id": row.channel_id,
            "channel": name,
            "status": row.status,
            "attempts": row.attempts,
            "next_try_at_ms": row.next_try_at_ms if row.status == "waiting" else 0,
            "sent_at_ms": row.sent_at_ms,
            "error": row.error,
        }
    )
