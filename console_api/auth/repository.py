"""Access tokens, as Redis holds them (by digest, never in clear), and people with the orgs they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth.models import Belonging
from console_api.database.tables import Invitation, Membership, Org, Tenant, User
from console_api.stores import Stores
from schemas import keys
from schemas.directory import AccessTokenRecord, Role

_decoder = msgspec.json.Decoder(AccessTokenRecord)


async def token_record(stores: Stores, digest: str) -> AccessTokenRecord | None:
    """Return the record of the token with that SHA-256, if there is one. Raises `RedisError`."""
    raw = await stores.redis.get(keys.access_token(digest))
    return _decoder.decode(raw) if raw else None


async def is_active_tenant(session: AsyncSession, tenant_id: str) -> bool:
    tenant = await session.get(Tenant, tenant_id)
    return tenant is not None and tenant.status == "active"


async def user(session: AsyncSession, tenant_id: str, issuer: str, subject: str) -> User | None:
    return await session.scalar(
        select(User).where(User.tenant_id == tenant_id, User.issuer == issuer, User.subject == subject)
    )


async def describe(session: AsyncSession, user_id: str, email: str, name: str) -> None:
    await session.execute(update(User).where(User.user_id == user_id).values(email=email, name=name))


async def belongings(session: AsyncSession, user_id: str) -> tuple[Belonging, ...]:
    """Return the orgs of a user, the oldest membership first. In one that is suspended they only look."""
    rows = await session.execute(
        select(Org.org_id, Org.name, Org.status, Membership.role)
        .join(Membership, Membership.org_id == Org.org_id)
        .where(Membership.user_id == user_id)
        .order_by(Membership.created_at_ms, Org.org_id)
    )
    return tuple(
        Belonging(org_id, name, cast(Role, role) if status == "active" else "viewer")
        for org_id, name, status, role in rows
    )


async def invitations(
    session: AsyncSession, tenant_id: str, email: str, now_ms: int, *, lock: bool = False
) -> Sequence[Invitation]:
    """Return the invitations that wait for an address and are still good."""
    query = select(Invitation).where(
        Invitation.tenant_id == tenant_id, Invitation.email == email, Invitation.expires_at_ms > now_ms
    )
    return (await session.scalars(query.with_for_update() if lock else query)).all()


async def forget_invitation(session: AsyncSession, invitation_id: str) -> None:
    await session.execute(delete(Invitation).where(Invitation.invitation_id == invitation_id))
