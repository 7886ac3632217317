"""`/api/v1/subscriptions…` and `POST /api/v1/billing/portal`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.idempotency import IdempotencyKeyDep
from console_api.orders.endpoints import ShopDep
from console_api.orders.models import Note
from console_api.subscriptions import buyers
from console_api.subscriptions.models import Cancellation, Portal, PortalRequest, SubscriptionPage

router = APIRouter(prefix="/api/v1", tags=["orders"])

SubscriptionId = Annotated[str, Path(min_length=1, max_length=128, examples=["sub_01kx4h2m7q"])]


@router.get("/subscriptions", summary="Your org's subscriptions")
async def subscriptions(
    session: ReadDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> SubscriptionPage:
    return await buyers.page(session, principal, limit, cursor)


@router.post("/subscriptions/{subscription_id}:cancel", status_code=202, summary="End a subscription")
async def cancel(
    *,
    subscription_id: SubscriptionId,
    control: ControlDep,
    shop: ShopDep,
    principal: PrincipalDep,
    asked: Cancellation | None = None,
) -> Response:
    at_period_end = (asked or Cancellation()).at_period_end
    await buyers.cancel(control, shop.providers, principal, subscription_id, at_period_end=at_period_end)
    return Response(status_code=202)


@router.post(
    "/subscriptions/{subscription_id}:mark_paid",
    status_code=204,
    summary="A further period's money was seen (operators)",
)
async def mark_paid(
    *,
    subscription_id: SubscriptionId,
    asked: Note,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    key: IdempotencyKeyDep,
) -> Response:
    await buyers.mark_paid(session, principal, subscription_id, asked.note, key=key, now_ms=control.clock())
    return Response(status_code=204)


@router.post("/billing/portal", summary="Where your invoices and payment methods are")
async def portal(asked: PortalRequest, control: ControlDep, shop: ShopDep, principal: PrincipalDep) -> Portal:
    back = shop.settings.return_url
    return await buyers.portal(control, shop.providers, principal, asked.provider, back)
