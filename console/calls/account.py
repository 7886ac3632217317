"""Who is visiting, and the orgs they may act for."""

from __future__ import annotations

from msgspec import Struct

from console.visitor import Visitor

MANAGERS = ("owner", "admin")


class Account(Struct, frozen=True):
    """Whom an access token speaks for. No `org_id`: a whole tenant, or (role `none`) no org yet."""

    subject: str
    tenant_id: str
    org_id: str
    role: str
    #: Of a person; a token that stands for none has neither.
    user_id: str = ""
    email: str = ""
    name: str = ""

    @property
    def shown(self) -> str:
        """Whom a page says it is."""
        return self.name or self.email or self.subject

    @property
    def manages(self) -> bool:
        """Whether this role may change things of its org."""
        return self.role in MANAGERS or self.operates

    @property
    def operates(self) -> bool:
        """Whether this caller runs the marketplace."""
        return self.role == "operator" or (not self.org_id and self.role in MANAGERS)


class Org(Struct, frozen=True):
    """An org the visitor belongs to."""

    org_id: str
    name: str = ""
    role: str = ""


class OrgList(Struct, frozen=True):
    orgs: tuple[Org, ...] = ()


async def account(visitor: Visitor) -> Account:
    return await visitor.get("/account", Account)


async def orgs(visitor: Visitor) -> tuple[Org, ...]:
    return (await visitor.get("/account/orgs", OrgList)).orgs


async def add_org(visitor: Visitor, name: str) -> Org:
    return await visitor.post("/account/orgs", Org, {"name": name})
