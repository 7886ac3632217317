"""What is done with an org's team. An org that has an owner keeps one."""

from __future__ import annotations

from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.errors import Conflict
from console_api.database import tables
from console_api.team import repository
from console_api.team.models import Invitation, Invite, Member, Team, TeamRole
from kit.clock import new_id
from kit.problems import NotFound

INVITED_FOR_MS = 14 * 86_400_000
#: Members and invitations of one org.
MOST_PLACES = 500


async def read(session: AsyncSession, principal: Principal, now_ms: int) -> Team:
    """Return the caller's team."""
    return Team(
        members=[_member(*row) for row in await repository.members(session, principal.org_id)],
        invitations=[
            _invitation(row) for row in await repository.invitations(session, principal.org_id, now_ms)
        ],
    )


async def invite(session: AsyncSession, principal: Principal, asked: Invite, now_ms: int) -> Invitation:
    """Hold a place for an address, or change and prolong the one that is held. `Forbidden`, `Conflict`."""
    _may_touch(principal, asked.role)
    await repository.lock(session, principal.org_id)
    team = await read(session, principal, now_ms)
    if any(member.email == asked.email for member in team.members):
        raise Conflict(f"{asked.email} belongs to the org already; change the role instead.")
    if len(team.members) + len(team.invitations) >= MOST_PLACES:
        raise Conflict(f"An org has room for {MOST_PLACES} people; withdraw an invitation first.")
    row = await hold(
        session,
        tenant_id=principal.tenant_id,
        org_id=principal.org_id,
        email=asked.email,
        role=asked.role,
        invited_by=principal.subject,
        now_ms=now_ms,
    )
    _audit(session, principal, "team.invite", row.invitation_id, now_ms, email=asked.email, role=asked.role)
    return _invitation(row)


async def hold(
    session: AsyncSession,
    *,
    tenant_id: str,
    org_id: str,
    email: str,
    role: TeamRole,
    invited_by: str,
    now_ms: int,
) -> tables.Invitation:
    """Hold a place in an org for whoever signs in with that address, in the caller's transaction."""
    row = await repository.invitation(session, org_id, email)
    if row is None:
        row = tables.Invitation(
            invitation_id=new_id("inv"), tenant_id=tenant_id, org_id=org_id, email=email, created_at_ms=now_ms
        )
        session.add(row)
    row.role, row.invited_by, row.expires_at_ms = role, invited_by, now_ms + INVITED_FOR_MS
    await session.flush()
    return row


async def withdraw(session: AsyncSession, principal: Principal, invitation_id: str, now_ms: int) -> None:
    """Take an invitation back. Raises `Forbidden`, `NotFound`."""
    roles.require(principal, "admin", "To change the team")
    row = await repository.withdraw(session, principal.org_id, invitation_id)
    if row is None:
        raise NotFound("There is no such invitation; it may have been accepted.")
    _audit(session, principal, "team.withdraw", invitation_id, now_ms, email=row.email)


async def change(
    session: AsyncSession, principal: Principal, user_id: str, role: TeamRole, now_ms: int
) -> Member:
    """Give a member another role. Raises `Forbidden`, `NotFound`, `Conflict` for the last owner."""
    member = await _one(session, principal, user_id, now_ms)
    _may_touch(principal, role)
    _may_touch(principal, member.role)
    if member.role == "owner" != role:
        await _keep_an_owner(session, principal)
    if member.role != role:
        await repository.set_role(session, principal.org_id, user_id, role)
        _audit(session, principal, "team.role", user_id, now_ms, was=member.role, now=role)
    return member.model_copy(update={"role": role})


async def remove(session: AsyncSession, principal: Principal, user_id: str, own: bool, now_ms: int) -> None:
    """Take somebody out; everybody may leave by themselves (`own`). As `change`."""
    if not own:
        roles.require(principal, "admin", "To change the team")
    member = await _one(session, principal, user_id, now_ms)
    if not own:
        _may_touch(principal, member.role)
    if member.role == "owner":
        await _keep_an_owner(session, principal)
    await repository.remove(session, principal.org_id, user_id)
    _audit(session, principal, "team.remove", user_id, now_ms, email=member.email, role=member.role)


def _may_touch(principal: Principal, role: TeamRole) -> None:
    """Owners are made, changed and removed by owners."""
    roles.require(principal, "owner" if role == "owner" else "admin", "To change the team like this")


async def _one(session: AsyncSession, principal: Principal, user_id: str, now_ms: int) -> Member:
    await repository.lock(session, principal.org_id)
    team = await read(session, principal, now_ms)
    for member in team.members:
        if member.user_id == user_id:
            return member
    raise NotFound("There is no such member; list them at /api/v1/account/team.")


async def _keep_an_owner(session: AsyncSession, principal: Principal) -> None:
    if await repository.owners(session, principal.org_id) == 1:
        raise Conflict("This is the org's only owner; make somebody else one first.")


def _audit(
    session: AsyncSession, principal: Principal, action: str, target_id: str, at_ms: int, **details: str
) -> None:
    audit.record(
        session,
        tenant_id=principal.tenant_id,
        org_id=principal.org_id,
        actor=principal.subject,
        action=action,
        target=("team", target_id),
        at_ms=at_ms,
        **details,
    )


def _member(user: tables.User, membership: tables.Membership) -> Member:
    return Member(
        user_id=user.user_id,
        email=user.email,
        name=user.name,
        role=cast(TeamRole, membership.role),
        since_ms=membership.created_at_ms,
    )


def _invitation(row: tables.Invitation) -> Invitation:
    return Invitation(
        invitation_id=row.invitation_id,
        email=row.email,
        role=cast(TeamRole, row.role),
        invited_by=row.invited_by,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
    )
