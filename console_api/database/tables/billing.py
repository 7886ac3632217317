"""How credits come about: orders, payments, subscriptions, and every grant that was issued."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Micro, Ms, Name, Word, one_of

_STOPPING = text("stop_due_at_ms > 0")


class Order(Base):
    """Somebody wants to buy. `idempotency_key` is the buyer's: asking twice is one order.

    A paid order is provisioned step by step; `step` is the next one. What went wrong last is in `error`, and
    it is tried again at `next_try_at_ms`.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        UniqueConstraint("provider", "provider_ref"),
        CheckConstraint(
            one_of("status", "pending", "paid", "provisioned", "failed", "cancelled", "refunded"),
            name="status",
        ),
        CheckConstraint(
            one_of("step", "", "instance", "credits", "key", "active", "known", "done"), name="step"
        ),
        CheckConstraint("amount_minor >= 0", name="amount"),
        Index(None, "org_id", "created_at_ms"),
        Index(None, "status", "next_try_at_ms"),
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
    #: How often it is paid: `once`, or the length of a subscription's period.
    every: Mapped[Word] = mapped_column(default="once")
    #: At the provider: who collects further periods by itself.
    subscription_ref: Mapped[Name] = mapped_column(default="")
    paid_at_ms: Mapped[Ms] = mapped_column(default=0)
    step: Mapped[Word] = mapped_column(default="")
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at_ms: Mapped[Ms] = mapped_column(default=0)
    error: Mapped[LongText] = mapped_column(default="")
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]


class Customer(Base):
    """Who an org is to a payment provider. `version` grows with every change; it is projected."""

    __tablename__ = "customers"

    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"), primary_key=True)
    provider: Mapped[Word] = mapped_column(primary_key=True)
    customer_ref: Mapped[Name]
    version: Mapped[int] = mapped_column(default=1)


class Payment(Base):
    """Money that came in, or went back (`refunded_minor`), by the provider's own id.

    `clawed_micro`: the credits that were taken back for it. `returned_at_ms`: as of when that is known. Of a
    subscription's, it paid the period from `period_start_ms` to before `period_end_ms`. `surplus`: it bought
    nothing, since what it was for was paid already or had ended.
    """

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
    clawed_micro: Mapped[Micro] = mapped_column(default=0)
    period_start_ms: Mapped[Ms] = mapped_column(default=0)
    period_end_ms: Mapped[Ms] = mapped_column(default=0)
    returned_at_ms: Mapped[Ms] = mapped_column(default=0)
    surplus: Mapped[bool] = mapped_column(default=False)
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]


class Subscription(Base):
    """A plan that goes on.

    `granted_until_ms`: up to when its periods' grants were issued. `paid_until_ms`: up to when it is paid; no
    period that begins later is granted. `past_due_since_ms`: since when money is missing. `told_at_ms`: how
    old the provider's latest word on its status is. `ended_at_ms`: when it ends or ended; 0: it goes on.
    `stop_due_at_ms`: when its provider is next asked to collect no more; 0: there is nothing to ask.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("provider", "provider_ref"),
        CheckConstraint(one_of("status", "active", "past_due", "paused", "ended"), name="status"),
        Index(None, "status", "subscription_id"),
        Index(
            "ix_subscriptions_stop_due",
            "stop_due_at_ms",
            sqlite_where=_STOPPING,
            postgresql_where=_STOPPING,
        ),
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
    paid_until_ms: Mapped[Ms] = mapped_column(default=0)
    past_due_since_ms: Mapped[Ms] = mapped_column(default=0)
    told_at_ms: Mapped[Ms] = mapped_column(default=0)
    stop_due_at_ms: Mapped[Ms] = mapped_column(default=0)
    stop_attempts: Mapped[int] = mapped_column(default=0)
    every: Mapped[Word] = mapped_column(default="month")
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
        Index(None, "tenant_id", "created_at_ms"),
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


class TopUp(Base):
    """An org's automatic purchase of a credit pack when its wallet runs low. Money in minor units.

    One order at a time: `order_id` is the latest attempt's. A declined one is tried again at
    `next_try_at_ms`, later each time; after too many it is switched off, and `error` says why.
    """

    __tablename__ = "topups"
    __table_args__ = (
        CheckConstraint("threshold_micro >= 0", name="threshold"),
        CheckConstraint("ceiling_minor >= 0", name="ceiling"),
        Index(None, "enabled", "next_try_at_ms"),
    )

    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"), primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    enabled: Mapped[bool] = mapped_column(default=False)
    threshold_micro: Mapped[Micro] = mapped_column(default=0)
    plan_id: Mapped[Id] = mapped_column(ForeignKey("plans.plan_id"))
    currency: Mapped[Word]
    provider: Mapped[Word]
    #: What it may spend in a calendar month (UTC).
    ceiling_minor: Mapped[int] = mapped_column(default=0)
    cool_off_s: Mapped[int] = mapped_column(default=3_600)
    attempts: Mapped[int] = mapped_column(default=0)
    declines: Mapped[int] = mapped_column(default=0)
    order_id: Mapped[Id | None] = mapped_column(ForeignKey("orders.order_id"))
    next_try_at_ms: Mapped[Ms] = mapped_column(default=0)
    error: Mapped[LongText] = mapped_column(default="")
    version: Mapped[int] = mapped_column(default=1)
    updated_at_ms: Mapped[Ms]
