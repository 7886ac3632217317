"""Purchased agents, their configuration, and the keys that open them."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Ms, Name, Typed, Word, one_of
from schemas.directory import Branding, Limits, Suspension

Strings = tuple[str, ...]


class Instance(Base):
    """A purchased agent. One order provisions one instance: `order_id` is unique.

    `version` grows with every change of what is projected: the row's own, its configuration's and its plan's.
    `suspended_for`: why it is suspended; it runs again when the last reason is gone.
    """

    __tablename__ = "instances"
    __table_args__ = (
        CheckConstraint(one_of("status", "provisioning", "active", "suspended", "ended"), name="status"),
        Index(None, "org_id", "instance_id"),
    )

    instance_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    plan_id: Mapped[Id] = mapped_column(ForeignKey("plans.plan_id"), index=True)
    order_id: Mapped[Id | None] = mapped_column(ForeignKey("orders.order_id"), unique=True)
    name: Mapped[Name]
    status: Mapped[Word] = mapped_column(default="provisioning")
    suspended_for: Mapped[tuple[Suspension, ...]] = mapped_column(Typed(tuple[Suspension, ...]), default=())
    version: Mapped[int] = mapped_column(default=1)
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]


class InstanceConfig(Base):
    """What its owners decide about an instance, within its plan. `version` is the ETag.

    `limits` only tighten the plan's. No `model` means the plan's first, no `tools` (null) all of the plan's.
    """

    __tablename__ = "instance_configs"

    instance_id: Mapped[Id] = mapped_column(ForeignKey("instances.instance_id"), primary_key=True)
    branding: Mapped[Branding] = mapped_column(Typed(Branding))
    model: Mapped[Name] = mapped_column(default="")
    system_prompt: Mapped[LongText] = mapped_column(default="")
    greeting: Mapped[LongText] = mapped_column(default="")
    tools: Mapped[Strings | None] = mapped_column(Typed(Strings))
    limits: Mapped[Limits] = mapped_column(Typed(Limits))
    version: Mapped[int] = mapped_column(default=1)
    updated_at_ms: Mapped[Ms]


class ApiKey(Base):
    """A key of an instance, by the SHA-256 of what was shown once. Rows are never deleted, only revoked."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(one_of("kind", "secret", "widget", "mcp"), name="kind"),
        Index(None, "instance_id", "created_at_ms", "key_id"),
    )

    key_id: Mapped[Id] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    instance_id: Mapped[Id] = mapped_column(ForeignKey("instances.instance_id"))
    kind: Mapped[Word]
    name: Mapped[Name]
    scopes: Mapped[Strings] = mapped_column(Typed(Strings))
    allowed_origins: Mapped[Strings] = mapped_column(Typed(Strings))
    rotated_from: Mapped[Id | None] = mapped_column(ForeignKey("api_keys.key_id"), unique=True)
    created_by: Mapped[Name]
    created_at_ms: Mapped[Ms]
    expires_at_ms: Mapped[Ms] = mapped_column(default=0)
    revoked_at_ms: Mapped[Ms] = mapped_column(default=0)
    last_used_at_ms: Mapped[Ms] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=1)
