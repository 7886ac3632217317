"""Grants and commands: their SQL."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.statements import insert_if_new
from console_api.database.tables import Grant, GrantCommand, Subscription
from schemas.events import GrantEvent


async def add_grant(
    session: AsyncSession,
    event: GrantEvent,
    *,
    subscription_id: str | None,
    period: str | None,
    order_id: str | None,
    at_ms: int,
) -> bool:
    """Record a grant; return `False` if it, or another for the same period or order, is there."""
    return await insert_if_new(
        session,
        Grant,
        grant_id=event.grant_id,
        tenant_id=event.tenant_id,
        org_id=event.org_id,
        kind=event.kind,
        amount_micro=event.amount_micro,
        priority=event.priority,
        effective_at_ms=event.effective_at_ms,
        expires_at_ms=event.expires_at_ms,
        rollover_cap_micro=event.rollover_cap_micro,
        rollover_ms=event.rollover_ms,
        reason=event.reason,
        subscription_id=subscription_id,
        period=period,
        order_id=order_id,
        created_at_ms=at_ms,
    )


async def locked_grant(session: AsyncSession, grant_id: str) -> Grant | None:
    return await session.scalar(select(Grant).where(Grant.grant_id == grant_id).with_for_update())


async def has_command(session: AsyncSession, command_id: str) -> bool:
    return await session.get(GrantCommand, command_id) is not None


async def add_command(
    session: AsyncSession,
    *,
    command_id: str,
    grant_id: str,
    action: str,
    amount_micro: int,
    reason: str,
    at_ms: int,
) -> bool:
    """Record a command; return whether it was new."""
    return await insert_if_new(
        session,
        GrantCommand,
        command_id=command_id,
        grant_id=grant_id,
        action=action,
        amount_micro=amount_micro,
        reason=reason,
        created_at_ms=at_ms,
    )


async def locked_subscription(session: AsyncSession, subscription_id: str) -> Subscription | None:
    return await session.scalar(
        select(Subscription).where(Subscription.subscription_id == subscription_id).with_for_update()
    )


async def granted_until(session: AsyncSession, subscription_id: str, until_ms: int) -> None:
    """Note that the grants of a subscription's periods were issued up to that moment."""
    await session.execute(
        update(Subscription)
        .where(Subscription.subscription_id == subscription_id, Subscription.granted_until_ms < until_ms)
        .values(granted_until_ms=until_ms)
    )
