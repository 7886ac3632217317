"""Alerts: where they go, which are wanted, what was told, and every message that tells it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Ms, Name, Typed, Word, one_of

Settings = dict[str, Any]
Strings = tuple[str, ...]

_WAITING = text("status = 'waiting'")


class RuleTerms(Struct, frozen=True):
    """What a rule looks at. Each kind reads its own."""

    #: Shares of a limit, in thousandths, that are told.
    thresholds_permille: tuple[int, ...] = ()
    #: How many days before the credits end.
    days: int = 0
    #: Below this much in an hour nothing is unusual, in micro-credits.
    minimum_micro: int = 0


class AlertChannel(Base):
    """A way to an org's people. What opens it is among the secrets; `settings` may be shown to the org."""

    __tablename__ = "alert_channels"
    __table_args__ = (
        CheckConstraint(one_of("kind", "email", "slack", "webhook"), name="kind"),
        Index(None, "org_id", "created_at_ms", "channel_id"),
    )

    channel_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    kind: Mapped[Word]
    name: Mapped[Name]
    enabled: Mapped[bool] = mapped_column(default=True)
    settings: Mapped[Settings] = mapped_column(Typed(Settings))
    created_by: Mapped[Name]
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]
    #: Grows with every change, but not with a test.
    version: Mapped[int] = mapped_column(default=1)
    #: What the last test said; 0: there was none since the last change.
    tested_at_ms: Mapped[Ms] = mapped_column(default=0)
    test_passed: Mapped[bool] = mapped_column(default=False)
    test_said: Mapped[LongText] = mapped_column(default="")


class AlertRule(Base):
    """What an org wants to hear of, and where. Without a row the defaults hold."""

    __tablename__ = "alert_rules"

    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"), primary_key=True)
    kind: Mapped[Word] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    enabled: Mapped[bool] = mapped_column(default=True)
    terms: Mapped[RuleTerms] = mapped_column(Typed(RuleTerms))
    #: Ids of channels; one that is gone is passed over.
    channels: Mapped[Strings] = mapped_column(Typed(Strings))
    updated_by: Mapped[Name]
    updated_at_ms: Mapped[Ms]


class Alert(Base):
    """Something that was told, once: the constraint is what makes it once.

    `subject`: what it is about, such as an instance or `wallet`. `threshold`: which line was crossed; in
    another `period` it may be told again. `details` is what the wording is made of.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("org_id", "kind", "subject", "threshold", "period"),
        Index(None, "org_id", "created_at_ms", "alert_id"),
        Index(None, "created_at_ms"),
    )

    alert_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    kind: Mapped[Word]
    subject: Mapped[Name]
    threshold: Mapped[Id]
    period: Mapped[Id]
    details: Mapped[dict[str, Any]] = mapped_column(Typed(dict[str, Any]))
    #: When it was so; when it was written down.
    occurred_at_ms: Mapped[Ms]
    created_at_ms: Mapped[Ms]


class AlertDelivery(Base):
    """One message of an alert to one channel, written with the alert. Its id is the message's for receivers.

    `attempts` have begun; the next may at `next_try_at_ms`, which lies ahead also while one is under way.
    `skipped`: there was no way to send it; `dead`: given up. `error` says why, and of a sent one what went
    wrong beside that.
    """

    __tablename__ = "alert_deliveries"
    __table_args__ = (
        UniqueConstraint("alert_id", "channel_id"),
        CheckConstraint(one_of("status", "waiting", "sent", "dead", "skipped"), name="status"),
        Index("ix_alert_deliveries_due", "next_try_at_ms", sqlite_where=_WAITING, postgresql_where=_WAITING),
    )

    delivery_id: Mapped[Id] = mapped_column(primary_key=True)
    alert_id: Mapped[Id] = mapped_column(ForeignKey("alerts.alert_id", ondelete="CASCADE"))
    #: Of a channel that may be gone by now, or `owners`.
    channel_id: Mapped[Id]
    status: Mapped[Word] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at_ms: Mapped[Ms]
    sent_at_ms: Mapped[Ms] = mapped_column(default=0)
    error: Mapped[LongText] = mapped_column(default="")
