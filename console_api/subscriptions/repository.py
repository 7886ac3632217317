"""Subscriptions: their SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.statements import insert_if_new
from console_api.database.tables import Plan, Subscription


async def add(session: AsyncSession, **values: Any) -> bool:
    """Insert a subscription, unless its order or its provider's reference has one."""
    return await insert_if_new(session, Subscription, **values)


async def one(session: AsyncSession, subscription_id: str, *, lock: bool = False) -> Subscription | None:
    query = select(Subscription).where(Subscription.subscription_id == subscription_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def of_order(session: AsyncSession, order_id: str, *, lock: bool = False) -> Subscription | None:
    query = select(Subscription).where(Subscription.order_id == order_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def of_instance(session: AsyncSession, instance_id: str, *, lock: bool = False) -> Subscription | None:
    query = select(Subscription).where(Subscription.instance_id == instance_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def by_ref(session: AsyncSession, provider: str, ref: str) -> Subscription | None:
    return await session.scalar(
        select(Subscription)
        .where(Subscription.provider == provider, Subscription.provider_ref == ref)
        .with_for_update()
    )


async def page(
    session: AsyncSession, tenant_id: str, org_id: str, after: str, limit: int
) -> Sequence[tuple[Subscription, str]]:
    """Return subscriptions with their plans' codes, by id; of all orgs if `org_id` is empty."""
    query = select(Subscription, Plan.code).join(Plan, Plan.plan_id == Subscription.plan_id)
    query = query.where(Subscription.tenant_id == tenant_id, Subscription.subscription_id > after)
    if org_id:
        query = query.where(Subscription.org_id == org_id)
    found = await session.execute(query.order_by(Subscription.subscription_id).limit(limit))
    return [(row[0], row[1]) for row in found]


async def to_stop(session: AsyncSession, now_ms: int, limit: int) -> Sequence[str]:
    """Return the ids of subscriptions whose provider is to collect no more, the longest due first."""
    found = await session.scalars(
        select(Subscription.subscription_id)
        .where(Subscription.stop_due_at_ms > 0, Subscription.stop_due_at_ms <= now_ms)
        .order_by(Subscription.stop_due_at_ms)
        .limit(limit)
    )
    return found.all()


async def living(session: AsyncSession, after: str, limit: int) -> Sequence[str]:
    """Return the ids of subscriptions that have not ended, by id."""
    found = await session.scalars(
        select(Subscription.subscription_id)
        .where(Subscription.status != "ended", Subscription.subscription_id > after)
        .order_by(Subscription.subscription_id)
        .limit(limit)
    )
    return found.all()
