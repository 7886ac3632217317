"""How credits come about: orders, payments, subscriptions, and every grant that was issued."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Micro, Ms, Name, Word, one_of


class Order(Base):
    """Somebody wants to buy. `idempotency_key` is the buyer's: asking twice is one order."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        UniqueConstraint("provider", "provider_ref"),
        CheckConstraint(
            one_of("status", "pending", "paid", "provisioned", "failed", "cancelled", "refunded"),
            name="status",
        ),
        CheckConstraint("amount_minor >= 0", name="amount"),
        Index(None, "org_id", "created_at_ms"),
    )

    order_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    plan_id: Mapped[Id] = mapped_column(ForeignKey("plans.plan_id"))
    idempotency_key: Mapped[Id]
    provider: Mapped[Word] = mapped_column(default="")
    #: The shop's checkout or order; null until there is one.
    provider_ref: Mapped[Name | None]
    status: Mapped[Word] = mapped_column(default="pending")
    currency: Mapped[Word]
    amount_minor: Mapped[int]
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]


class Payment(Base):
    """Money that came in, or went back (`refunded_minor`), by the provider's own id."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("provider", "provider_ref"),
        CheckConstraint(one_of("status", "pending", "succeeded", "failed", "refunded"), name="status"),
        CheckConstraint("refunded_minor >= 0 AND refunded_minor <= amount_minor", name="refunded"),
    )

    payment_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"), index=True)
    order_id: Mapped[Id | None] = mapped_column(ForeignKey("orders.order_id"), index=True)
    subscription_id: Mapped[Id | None] = mapped_column(ForeignKey("subscriptions.subscription_id"))
    provider: Mapped[Word]
    provider_ref: Mapped[Name]
    status: Mapped[Word]
    currency: Mapped[Word]
    amount_minor: Mapped[int]
    refunded_minor: Mapped[int] = mapped_column(default=0)
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]


class Subscription(Base):
    """A plan that goes on. `granted_until_ms`: up to when its periods' grants were issued."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("provider", "provider_ref"),
        CheckConstraint(one_of("status", "active", "past_due", "paused", "ended"), name="status"),
        Index(None, "status", "granted_until_ms"),
    )

    subscription_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"), index=True)
    plan_id: Mapped[Id] = mapped_column(ForeignKey("plans.plan_id"))
    order_id: Mapped[Id | None] = mapped_column(ForeignKey("orders.order_id"), unique=True)
    instance_id: Mapped[Id | None] = mapped_column(ForeignKey("instances.instance_id"))
    provider: Mapped[Word] = mapped_column(default="")
    provider_ref: Mapped[Name | None]
    status: Mapped[Word] = mapped_column(default="active")
    started_at_ms: Mapped[Ms]
    ended_at_ms: Mapped[Ms] = mapped_column(default=0)
    granted_until_ms: Mapped[Ms] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=1)
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]


class WebhookDelivery(Base):
    """An event of a payment provider. The primary key is what makes a repeated delivery apply once."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(one_of("status", "received", "applied", "ignored", "failed"), name="status"),
        Index(None, "status", "received_at_ms"),
    )

    provider: Mapped[Word] = mapped_column(primary_key=True)
    event_id: Mapped[Name] = mapped_column(primary_key=True)
    kind: Mapped[Name]
    status: Mapped[Word] = mapped_column(default="received")
    payload: Mapped[LongText]
    error: Mapped[LongText] = mapped_column(default="")
    received_at_ms: Mapped[Ms]
    applied_at_ms: Mapped[Ms] = mapped_column(default=0)


class Grant(Base):
    """Credits that were given. `grant_id` is the ledger entry's id and the event's.

    A subscription gives once for a period, an order once for each kind.
    """

    __tablename__ = "grants"
    __table_args__ = (
        UniqueConstraint("subscription_id", "period"),
        UniqueConstraint("order_id", "kind"),
        CheckConstraint(one_of("kind", "purchase", "plan", "promotion", "correction", "trial"), name="kind"),
        CheckConstraint("amount_micro > 0", name="amount"),
        CheckConstraint("refunded_micro >= 0 AND refunded_micro <= amount_micro", name="refunded"),
        Index(None, "org_id", "created_at_ms"),
    )

    grant_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    kind: Mapped[Word]
    amount_micro: Mapped[Micro]
    priority: Mapped[int]
    effective_at_ms: Mapped[Ms]
    expires_at_ms: Mapped[Ms]
    rollover_cap_micro: Mapped[Micro]
    rollover_ms: Mapped[int]
    reason: Mapped[str] = mapped_column(String(512))
    subscription_id: Mapped[Id | None] = mapped_column(ForeignKey("subscriptions.subscription_id"))
    #: The start of the period (`2026-01-31`), for a subscription's.
    period: Mapped[Word | None]
    order_id: Mapped[Id | None] = mapped_column(ForeignKey("orders.order_id"))
    voided_at_ms: Mapped[Ms] = mapped_column(default=0)
    refunded_micro: Mapped[Micro] = mapped_column(default=0)
    created_at_ms: Mapped[Ms]


class GrantCommand(Base):
    """A void or a refund of a grant, as it was sent to the wallet."""

    __tablename__ = "grant_commands"
    __table_args__ = (
        CheckConstraint(one_of("action", "void", "refund"), name="action"),
        CheckConstraint("amount_micro >= 0", name="amount"),
    )

    command_id: Mapped[Id] = mapped_column(primary_key=True)
    grant_id: Mapped[Id] = mapped_column(ForeignKey("grants.grant_id"), index=True)
    action: Mapped[Word]
    amount_micro: Mapped[Micro]
    reason: Mapped[str] = mapped_column(String(512))
    created_at_ms: Mapped[Ms]
