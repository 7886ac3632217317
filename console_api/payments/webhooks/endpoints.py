"""`/api/v1/webhooks/…`: where payment providers post to, and the log of it for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from console_api.auth.service import PrincipalDep
from console_api.control import audit
from console_api.control.plane import ControlDep, ReadDep
from console_api.payments.webhooks import log
from console_api.payments.webhooks.models import DeliveryPage, DeliveryView, Status
from console_api.payments.webhooks.service import Deliveries
from kit.problems import NotFound

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])

_DELIVERED = """\
For the provider only: what is not signed by it is answered with 400 and not kept. 200 means that the delivery
is in the log; a repeat is answered alike and does nothing. After 500 and 503 it should be sent again.
"""
_LIST = """\
What payment providers delivered, newest first. `received` waits for something that is not known yet and is
told again by itself; `failed` says why, and can be replayed once the cause is gone.
"""


def _deliveries(request: Request, _: ControlDep) -> Deliveries:
    payments = request.app.state.payments
    if payments is None:
        raise NotFound("No payment provider is set up here.")
    deliveries = payments.deliveries
    assert isinstance(deliveries, Deliveries)
    return deliveries


DeliveriesDep = Annotated[Deliveries, Depends(_deliveries)]


async def _receive(provider: str, request: Request, deliveries: Deliveries) -> dict[str, Status]:
    if not deliveries.takes(provider):
        raise NotFound("That payment provider is not set up here.")
    status = await deliveries.receive(provider, request.headers, await request.body())
    return {"status": status}


@router.post("/stripe", summary="Stripe's events", description=_DELIVERED)
async def stripe(request: Request, deliveries: DeliveriesDep) -> dict[str, Status]:
    return await _receive("stripe", request, deliveries)


@router.post("/saleor", summary="Saleor's events", description=_DELIVERED)
async def saleor(request: Request, deliveries: DeliveriesDep) -> dict[str, Status]:
    return await _receive("saleor", request, deliveries)


@router.get("/deliveries", summary="What providers delivered (operators)", description=_LIST)
async def deliveries(
    session: ReadDep,
    log_of: DeliveriesDep,
    principal: PrincipalDep,
    *,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> DeliveryPage:
    log.operators_only(principal)
    return await log.page(session, log_of.providers_of(principal.tenant_id), status, limit, cursor)


@router.post("/deliveries/{provider}/{event_id}:replay", summary="Apply a delivery once more (operators)")
async def replay(
    provider: Annotated[str, Path(max_length=32)],
    event_id: Annotated[str, Path(max_length=256)],
    log_of: DeliveriesDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> DeliveryView:
    log.operators_only(principal)
    if provider not in log_of.providers_of(principal.tenant_id):
        raise NotFound("There is no such delivery; list them at /api/v1/webhooks/deliveries.")
    row = await log_of.replay(provider, event_id)
    async with control.database.writing() as session:
        audit.record(
            session,
            tenant_id=principal.tenant_id,
            org_id=principal.org_id,
            actor=principal.subject,
            action="webhook.replay",
            target=("webhook_delivery", f"{provider}/{event_id}"[:128]),
            at_ms=control.clock(),
            status=row.status,
        )
    return log.view(row)
