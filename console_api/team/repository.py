"""Members and invitations: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Invitation, Membership, Org, User


async def lock(session: AsyncSession, org_id: str) -> None:
    """Let one change of an org's team happen at a time, so that two cannot remove each other's last owner."""
    await session.scalar(select(Org.org_id).where(Org.org_id == org_id).with_for_update())


async def members(session: AsyncSession, org_id: str) -> Sequence[Row[User, Membership]]:
    """Return users with their memberships."""
    rows = await session.execute(
        select(User, Membership)
        .join(Membership, Membership.user_id == User.user_id)
        .where(Membership.org_id == org_id)
        .order_by(Membership.created_at_ms, User.user_id)
    )
    return rows.all()


async def invitations(session: AsyncSession, org_id: str, now_ms: int) -> Sequence[Invitation]:
    query = select(Invitation).where(Invitation.org_id == org_id, Invitation.expires_at_ms > now_ms)
    return (await session.scalars(query.order_by(Invitation.created_at_ms, Invitation.email))).all()


async def invitation(session: AsyncSession, org_id: str, email: str) -> Invitation | None:
    """Return what waits for that address, also if it expired."""
    return await session.scalar(
        select(Invitation).where(Invitation.org_id == org_id, Invitation.email == email)
    )


async def withdraw(session: AsyncSession, org_id: str, invitation_id: str) -> Invitation | None:
    """Delete an invitation and return it."""
    query = select(Invitation).where(Invitation.org_id == org_id, Invitation.invitation_id == invitation_id)
    found = await session.scalar(query)
    if found is not None:
        await session.delete(found)
    return found


async def owners(session: AsyncSession, org_id: str) -> int:
    query = select(func.count()).where(Membership.org_id == org_id, Membership.role == "owner")
    return int(await session.scalar(query) or 0)


async def set_role(session: AsyncSession, org_id: str, user_id: str, role: str) -> None:
    await session.execute(
        update(Membership).where(Membership.org_id == org_id, Membership.user_id == user_id).values(role=role)
    )


async def remove(session: AsyncSession, org_id: str, user_id: str) -> None:
    await session.execute(
        delete(Membership).where(Membership.org_id == org_id, Membership.user_id == user_id)
    )
