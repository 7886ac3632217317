"""Returning money. What a provider returns, it tells us itself (`returns`); the credits follow that."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.errors import Conflict
from console_api.control.plane import ControlPlane
from console_api.database.tables import Order, Payment
from console_api.orders import facts, repository
from console_api.orders.models import Refund
from console_api.orders.service import operators_only, own
from console_api.payments import port
from console_api.payments.port import MoneyReturned
from console_api.payments.providers import OFFLINE, Providers
from kit.problems import Unavailable


@dataclass(frozen=True)
class _Asked:
    """A refund as it is asked of a provider: `total_minor` of the payment in all, `more_minor` now."""

    principal: Principal
    order: Order
    provider: str
    payment_id: str
    payment_ref: str
    total_minor: int
    more_minor: int


async def refund(
    plane: ControlPlane, providers: Providers, principal: Principal, order_id: str, asked: Refund
) -> None:
    """Return money of an order or its subscription, and take back the credits it bought. Operators only.

    Raises `NotFound`, `Conflict` for what cannot be returned, `Unavailable`: then it may be asked for again.
    """
    operators_only(principal)
    async with plane.database.writing() as session:
        order = await own(session, principal, order_id)
        paid = await _chosen(session, order, asked.payment_id)
        total = asked.amount_minor or paid.amount_minor
        if not paid.refunded_minor < total <= paid.amount_minor:
            raise Conflict(
                f"{paid.refunded_minor} of {paid.amount_minor} were returned; ask for more than that, "
                "and for no more than was paid."
            )
        wanted = _Asked(
            principal,
            order,
            paid.provider,
            paid.payment_id,
            paid.provider_ref,
            total,
            total - paid.refunded_minor,
        )
        offline = paid.provider in OFFLINE
        if offline:
            await _returned_offline(session, paid, total, plane.clock())
        elif paid.provider not in providers.names:
            raise Conflict(f"{paid.provider} returns its money itself: refund it there; the credits follow.")
        action = "order.refund" if offline else "order.refund_asked"
        _audit(session, wanted, action, plane.clock(), note=asked.note)
    if not offline:
        await _ask(plane, providers, wanted)


async def _ask(plane: ControlPlane, providers: Providers, wanted: _Asked) -> None:
    """Have the provider return it, and note what it said. Under the same key it returns it once."""
    key = f"refund/{wanted.payment_id}/{wanted.total_minor}"
    try:
        await providers.get(wanted.provider).refund(wanted.payment_ref, wanted.more_minor, key)
    except port.Unavailable as error:
        raise Unavailable("The payment provider cannot be asked; try again.") from error
    except port.Refused as error:
        async with plane.database.writing() as session:
            reason = str(error)[:300]
            _audit(session, wanted, "order.refund_refused", plane.clock(), reason=reason)
        raise Conflict(f"The payment provider refused: {error}") from error
    async with plane.database.writing() as session:
        _audit(session, wanted, "order.refund", plane.clock())


async def _chosen(session: AsyncSession, order: Order, payment_id: str | None) -> Payment:
    """Return the payment that is named, or the one that paid the order."""
    paid = await repository.payments_under(session, order.order_id)
    if payment_id is not None:
        chosen = [payment for payment in paid if payment.payment_id == payment_id]
    else:
        chosen = [payment for payment in paid if payment.order_id]
    if not chosen:
        raise Conflict("Nothing like that was paid for this order; see its payments at GET /orders/{id}.")
    if len(chosen) > 1:
        names = ", ".join(payment.payment_id for payment in chosen)
        raise Conflict(f"The order was paid more than once; name one as `payment_id`: {names}.")
    return chosen[0]


async def _returned_offline(session: AsyncSession, paid: Payment, total_minor: int, now_ms: int) -> None:
    fact = MoneyReturned(
        provider=paid.provider,
        payment_ref=paid.provider_ref,
        returned_minor=total_minor,
        reason="refund",
        at_ms=max(now_ms, paid.returned_at_ms + 1),
    )
    await facts.apply(session, fact, now_ms=now_ms)


def _audit(session: AsyncSession, wanted: _Asked, action: str, at_ms: int, **details: object) -> None:
    audit.record(
        session,
        tenant_id=wanted.order.tenant_id,
        org_id=wanted.order.org_id,
        actor=wanted.principal.subject,
        action=action,
        target=("order", wanted.order.order_id),
        at_ms=at_ms,
        payment_id=wanted.payment_id,
        total_minor=wanted.total_minor,
        **details,
    )
