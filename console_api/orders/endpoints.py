"""`/api/v1/orders…`: buying, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.orders import refunds, service
from console_api.orders.models import (
    NewOrder,
    Note,
    OrderDetail,
    OrderPage,
    OrderStatus,
    PlacedOrder,
    Refund,
    WelcomeKey,
)
from console_api.payments.providers import Providers
from kit.problems import NotFound
from kit.settings import PaymentsSettings

router = APIRouter(prefix="/api/v1", tags=["orders"])

OrderId = Annotated[str, Path(min_length=1, max_length=128, examples=["ord_01kx4h2m7q"])]


@dataclass(frozen=True)
class Shop:
    """What buying needs."""

    providers: Providers
    settings: PaymentsSettings


def _shop(request: Request, _: ControlDep) -> Shop:
    payments = request.app.state.payments
    if payments is None:
        raise NotFound("Nothing can be bought here.")
    return Shop(payments.providers, payments.settings)


ShopDep = Annotated[Shop, Depends(_shop)]


def _providers(request: Request, _: ControlDep) -> Providers:
    payments = request.app.state.payments
    return payments.providers if payments is not None else Providers(dummy=False, stripe=None)


#: Who can be told of an end, also where nothing is sold any more.
ProvidersDep = Annotated[Providers, Depends(_providers)]


@router.post("/orders", status_code=201, summary="Buy a plan or a pack of credits")
async def place(
    *,
    wanted: NewOrder,
    control: ControlDep,
    shop: ShopDep,
    principal: PrincipalDep,
    idempotency_key: Annotated[
        str, Header(min_length=8, max_length=255, description="Yours: the same again is the same order")
    ],
) -> PlacedOrder:
    return await service.place(
        control, shop.providers, shop.settings, principal, wanted=wanted, idempotency_key=idempotency_key
    )


@router.get("/orders", summary="Your org's orders, newest first")
async def orders(
    session: ReadDep,
    principal: PrincipalDep,
    status: Annotated[OrderStatus | None, Query(description="Only orders that are so now")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> OrderPage:
    return await service.page(session, principal, status, limit, cursor)


@router.get("/orders/{order_id}", summary="One order, and how far its provisioning is")
async def order(order_id: OrderId, session: ReadDep, principal: PrincipalDep) -> OrderDetail:
    return await service.one(session, principal, order_id)


@router.post("/orders/{order_id}:cancel", status_code=204, summary="Withdraw an order that is not paid")
async def cancel(
    order_id: OrderId, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> Response:
    await service.cancel(session, principal, order_id, control.clock())
    return Response(status_code=204)


@router.post("/orders/{order_id}:pay", status_code=204, summary="Pay without money, where that is allowed")
async def pay(
    order_id: OrderId,
    session: WriteDep,
    control: ControlDep,
    shop: ShopDep,
    principal: PrincipalDep,
) -> Response:
    dummy = "dummy" in shop.providers.names
    await service.pay(session, principal, order_id, dummy=dummy, now_ms=control.clock())
    return Response(status_code=204)


@router.post("/orders/{order_id}:mark_paid", status_code=204, summary="The money was seen (operators)")
async def mark_paid(
    order_id: OrderId, asked: Note, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> Response:
    await service.mark_paid(session, principal, order_id, asked.note, control.clock())
    return Response(status_code=204)


@router.post("/orders/{order_id}:retry", status_code=204, summary="Provision a failed order (operators)")
async def retry(
    order_id: OrderId, asked: Note, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> Response:
    await service.retry(session, principal, order_id, asked.note, control.clock())
    return Response(status_code=204)


@router.post("/orders/{order_id}:refund", status_code=202, summary="Return money (operators)")
async def refund(
    order_id: OrderId,
    asked: Refund,
    control: ControlDep,
    shop: ShopDep,
    principal: PrincipalDep,
) -> Response:
    await refunds.refund(control, shop.providers, principal, order_id, asked)
    return Response(status_code=202)


@router.post("/orders/{order_id}:reveal_key", summary="The new instance's key, shown once")
async def reveal_key(
    order_id: OrderId, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> WelcomeKey:
    return await service.reveal_key(control, session, principal, order_id)
