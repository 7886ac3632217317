"""Orders, payments and customers: their SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.statements import insert_if_new
from console_api.database.tables import Customer, Grant, Order, Payment, Plan, Product, Subscription


async def add_order(session: AsyncSession, **values: Any) -> bool:
    """Insert an order, unless the tenant has one of that idempotency key, or the provider of that name."""
    return await insert_if_new(session, Order, **values)


async def order(session: AsyncSession, order_id: str, *, lock: bool = False) -> Order | None:
    query = select(Order).where(Order.order_id == order_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def order_by_key(session: AsyncSession, tenant_id: str, key: str) -> Order | None:
    return await session.scalar(
        select(Order).where(Order.tenant_id == tenant_id, Order.idempotency_key == key)
    )


async def orders(
    session: AsyncSession,
    tenant_id: str,
    org_id: str,
    *,
    status: str | None,
    after: tuple[int, str] | None,
    limit: int,
) -> Sequence[tuple[Order, str]]:
    """Return orders with their plans' codes, newest first; of all orgs if `org_id` is empty."""
    query = select(Order, Plan.code).join(Plan, Plan.plan_id == Order.plan_id)
    query = query.where(Order.tenant_id == tenant_id)
    if org_id:
        query = query.where(Order.org_id == org_id)
    if status is not None:
        query = query.where(Order.status == status)
    if after is not None:
        query = query.where(tuple_(Order.created_at_ms, Order.order_id) < after)
    found = await session.execute(
        query.order_by(Order.created_at_ms.desc(), Order.order_id.desc()).limit(limit)
    )
    return [(row[0], row[1]) for row in found]


async def stuck(session: AsyncSession, paid_before_ms: int) -> tuple[int, int]:
    """Return how many orders failed, and how many were paid before that moment and are not provisioned."""
    late = (Order.status == "paid") & (Order.paid_at_ms < paid_before_ms)
    found = await session.execute(
        select(
            func.count().filter(Order.status == "failed"),
            func.count().filter(late),
        ).where(Order.status.in_(("failed", "paid")))
    )
    failed, waiting = found.one()
    return failed, waiting


async def due(session: AsyncSession, now_ms: int, limit: int) -> Sequence[str]:
    """Return paid orders whose next step is due."""
    found = await session.scalars(
        select(Order.order_id)
        .where(Order.status == "paid", Order.next_try_at_ms <= now_ms)
        .order_by(Order.next_try_at_ms)
        .limit(limit)
    )
    return found.all()


async def plan(session: AsyncSession, plan_id: str) -> tuple[Plan, Product]:
    """Return a plan and what it is a plan of."""
    found = await session.execute(
        select(Plan, Product)
        .join(Product, Product.product_id == Plan.product_id)
        .where(Plan.plan_id == plan_id)
    )
    row = found.one()
    return row[0], row[1]


async def add_payment(session: AsyncSession, **values: Any) -> bool:
    """Insert a payment, unless the provider's is there."""
    return await insert_if_new(session, Payment, **values)


async def payments_for(session: AsyncSession, provider: str, ref: str, part: str) -> Sequence[Payment]:
    """Return a payment, or the parts of it that orders are, locked."""
    parts = Payment.provider_ref.startswith(f"{ref}{part}", autoescape=True)
    found = await session.scalars(
        select(Payment)
        .where(Payment.provider == provider, or_(Payment.provider_ref == ref, parts))
        .order_by(Payment.provider_ref)
        .with_for_update()
    )
    return found.all()


async def payments_of(session: AsyncSession, order_id: str) -> Sequence[Payment]:
    found = await session.scalars(
        select(Payment)
        .where(Payment.order_id == order_id)
        .order_by(Payment.created_at_ms, Payment.payment_id)
    )
    return found.all()


async def payments_under(session: AsyncSession, order_id: str) -> Sequence[Payment]:
    """Return the newest hundred payments of an order and of its subscription."""
    of_it = select(Subscription.subscription_id).where(Subscription.order_id == order_id)
    found = await session.scalars(
        select(Payment)
        .where(or_(Payment.order_id == order_id, Payment.subscription_id.in_(of_it)))
        .order_by(Payment.created_at_ms.desc(), Payment.payment_id.desc())
        .limit(100)
    )
    return found.all()


async def granted_with(session: AsyncSession, order_id: str) -> Sequence[str]:
    """Return the ids of the grants that an order brought, by itself or as its subscription's first."""
    of_it = select(Subscription.subscription_id).where(Subscription.order_id == order_id)
    query = select(Grant.grant_id).where(or_(Grant.order_id == order_id, Grant.subscription_id.in_(of_it)))
    return (await session.scalars(query)).all()


async def grants_for(session: AsyncSession, paid: Payment, *, lock: bool = False) -> Sequence[Grant]:
    """Return the grants that a payment paid for, and those that brought some of them back.

    An order's payment paid for its purchase and its subscription's first period; a later one for the periods
    that it names.
    """
    restored = Grant.grant_id.startswith(f"restored/{paid.payment_id}/", autoescape=True)
    wanted: list[ColumnElement[bool]] = [restored]
    if paid.order_id:
        wanted.append(Grant.order_id == paid.order_id)
    if paid.subscription_id:
        wanted.append(
            and_(
                Grant.subscription_id == paid.subscription_id,
                Grant.effective_at_ms >= paid.period_start_ms,
                Grant.effective_at_ms < paid.period_end_ms,
            )
        )
    query = select(Grant).where(or_(*wanted)).order_by(Grant.created_at_ms, Grant.grant_id)
    return (await session.scalars(query.with_for_update() if lock else query)).all()


async def add_customer(session: AsyncSession, org_id: str, provider: str, ref: str) -> bool:
    """Say who an org is to a provider; return whether that was not known."""
    known = await session.get(Customer, (org_id, provider), with_for_update=True)
    if known is None:
        return await insert_if_new(session, Customer, org_id=org_id, provider=provider, customer_ref=ref)
    if known.customer_ref == ref:
        return False
    known.customer_ref, known.version = ref, known.version + 1
    return True


async def customer(session: AsyncSession, org_id: str, provider: str) -> str:
    """Return who an org is to a provider; empty if nobody yet."""
    known = await session.get(Customer, (org_id, provider))
    return known.customer_ref if known is not None else ""


async def spent_since(session: AsyncSession, org_id: str, key_prefix: str, since_ms: int) -> int:
    """Return what the orders of some idempotency keys cost since then, minor units, but those withdrawn.

    Money that went back counts: a disputed card must not be charged for more than one that was not.
    """
    found = await session.scalar(
        select(func.coalesce(func.sum(Order.amount_minor), 0)).where(
            Order.org_id == org_id,
            Order.idempotency_key.like(f"{key_prefix}%"),
            Order.status != "cancelled",
            Order.created_at_ms >= since_ms,
        )
    )
    return int(found or 0)
