"""Who there is: tenants, their orgs, users, and who belongs where."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, Ms, Name, Word, one_of


class Tenant(Base):
    """A marketplace: everything else belongs to one."""

    __tablename__ = "tenants"
    __table_args__ = (CheckConstraint(one_of("status", "active", "suspended"), name="status"),)

    tenant_id: Mapped[Id] = mapped_column(primary_key=True)
    name: Mapped[Name]
    status: Mapped[Word] = mapped_column(default="active")
    created_at_ms: Mapped[Ms]


class Org(Base):
    """A buyer's organisation: it owns a wallet and instances. Its rows carry its tenant, too.

    `external_id` is what the tenant's own system calls it; a repeated order finds it by that.
    """

    __tablename__ = "orgs"
    __table_args__ = (
        UniqueConstraint("tenant_id", "external_id"),
        CheckConstraint(one_of("status", "active", "suspended"), name="status"),
    )

    org_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    external_id: Mapped[Id | None]
    name: Mapped[Name]
    status: Mapped[Word] = mapped_column(default="active")
    created_at_ms: Mapped[Ms]


class User(Base):
    """A person, by the issuer's subject. The e-mail address is for people and may change."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("tenant_id", "issuer", "subject"),
        Index(None, "tenant_id", "email"),
    )

    user_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    issuer: Mapped[Name]
    subject: Mapped[Name]
    email: Mapped[Name] = mapped_column(default="")
    name: Mapped[Name] = mapped_column(default="")
    created_at_ms: Mapped[Ms]


class Invitation(Base):
    """A place in an org that waits for whoever signs in with that verified e-mail address (in lower case).

    It is deleted as it is taken up or withdrawn; the audit log remembers it.
    """

    __tablename__ = "invitations"
    __table_args__ = (
        UniqueConstraint("org_id", "email"),
        CheckConstraint(one_of("role", "owner", "admin", "member", "viewer"), name="role"),
        Index(None, "tenant_id", "email"),
    )

    invitation_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    email: Mapped[Name]
    role: Mapped[Word]
    invited_by: Mapped[Name]
    created_at_ms: Mapped[Ms]
    expires_at_ms: Mapped[Ms]


class Membership(Base):
    """What a user may do in an org."""

    __tablename__ = "memberships"
    __table_args__ = (
        CheckConstraint(one_of("role", "owner", "admin", "member", "viewer"), name="role"),
        Index(None, "user_id"),
    )

    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"), primary_key=True)
    user_id: Mapped[Id] = mapped_column(ForeignKey("users.user_id"), primary_key=True)
    role: Mapped[Word]
    created_at_ms: Mapped[Ms]
