"""The visitor's org, its members, and what they did."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from console.api import Call
from console.visitor import Visitor, part

ROLES = ("owner", "admin", "member", "viewer")


class OrgDetail(Struct, frozen=True):
    org_id: str = ""
    name: str = ""


class Member(Struct, frozen=True):
    """A person in the org."""

    user_id: str
    email: str = ""
    name: str = ""
    role: str = ""
    since_ms: int = 0


class Invitation(Struct, frozen=True):
    """Somebody who was asked and has not come yet."""

    invitation_id: str = ""
    email: str = ""
    role: str = ""
    expires_at_ms: int = 0


class Team(Struct, frozen=True):
    """Everybody in the org, and who is invited."""

    members: tuple[Member, ...] = ()
    invitations: tuple[Invitation, ...] = ()


class AuditEntry(Struct, frozen=True):
    """One thing that somebody did."""

    audit_id: str
    at_ms: int
    org_id: str
    actor: str
    action: str
    target_kind: str
    target_id: str
    details: dict[str, Any]


class AuditPage(Struct, frozen=True):
    entries: tuple[AuditEntry, ...] = ()
    next_cursor: str | None = None


async def org(visitor: Visitor) -> OrgDetail:
    return await visitor.get("/account/org", OrgDetail)


async def rename_org(visitor: Visitor, name: str) -> None:
    await visitor.call(Call("PATCH", "/account/org", body={"name": name}))


async def team(visitor: Visitor) -> Team:
    return await visitor.get("/account/team", Team)


async def uninvite(visitor: Visitor, invitation_id: str) -> None:
    await visitor.call(Call("DELETE", f"/account/team/invitations/{part(invitation_id)}"))


async def invite(visitor: Visitor, email: str, role: str) -> Invitation:
    return await visitor.post("/account/team/invitations", Invitation, {"email": email, "role": role})


async def set_role(visitor: Visitor, user_id: str, role: str) -> None:
    await visitor.call(Call("PATCH", f"/account/team/{part(user_id)}", body={"role": role}))


async def remove(visitor: Visitor, user_id: str) -> None:
    await visitor.call(Call("DELETE", f"/account/team/{part(user_id)}"))


async def audit(visitor: Visitor, cursor: str | None, *, everywhere: bool = False) -> AuditPage:
    """Return a page of what was done in the org, or (operators) anywhere."""
    query = {"limit": "50", **({"cursor": cursor} if cursor else {})}
    return await visitor.get("/audit" if everywhere else "/account/audit", AuditPage, query)
