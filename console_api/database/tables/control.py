"""What keeps the control plane honest: the outbox, its relay's leases, the audit log, and sealed secrets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Ms, Name, Typed, Word

#: SQLite numbers rows by itself only for `INTEGER`.
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
_PENDING = text("sent_at_ms = 0 AND parked_at_ms = 0")
_PARKED = text("parked_at_ms > 0")


class OutboxRow(Base):
    """Something the rest of the system has to hear of, written in the transaction that made it true.

    `lane` is the store it goes to, `topic` a Kafka topic or a kind of projection, `key` the organisation or
    what is projected. A projection has no payload: the relay reads what is true when it writes.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_pending", "lane", "seq", sqlite_where=_PENDING, postgresql_where=_PENDING),
        Index("ix_outbox_parked", "parked_at_ms", sqlite_where=_PARKED, postgresql_where=_PARKED),
        Index(None, "sent_at_ms"),
    )

    seq: Mapped[int] = mapped_column(_SEQUENCE, primary_key=True, autoincrement=True)
    #: Names the row for good, such as the command's id; a second one with it is the same.
    outbox_id: Mapped[Name] = mapped_column(unique=True)
    lane: Mapped[Word]
    topic: Mapped[Id]
    key: Mapped[Id]
    payload: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    created_at_ms: Mapped[Ms]
    sent_at_ms: Mapped[Ms] = mapped_column(default=0)
    #: Taken out of the way because it can never be sent; `error` says why.
    parked_at_ms: Mapped[Ms] = mapped_column(default=0)
    error: Mapped[LongText] = mapped_column(default="")


class Lease(Base):
    """Who may do what only one may do at a time. On PostgreSQL the row's lock says it, on SQLite its time."""

    __tablename__ = "leases"

    name: Mapped[Id] = mapped_column(primary_key=True)
    holder: Mapped[Id] = mapped_column(default="")
    until_ms: Mapped[Ms] = mapped_column(default=0)


class AuditEntry(Base):
    """Who did what, written with the change itself. Never updated, never deleted here."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "tenant_id", "at_ms"),
        Index(None, "target_kind", "target_id", "at_ms"),
    )

    audit_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    org_id: Mapped[Id] = mapped_column(default="")
    actor: Mapped[Name]
    action: Mapped[Id]
    target_kind: Mapped[Word]
    target_id: Mapped[Id]
    details: Mapped[dict[str, Any]] = mapped_column(Typed(dict[str, Any]))
    at_ms: Mapped[Ms]


class Secret(Base):
    """A credential of another system, sealed. `sealed_with` is the fingerprint of the key it needs."""

    __tablename__ = "secrets"
    __table_args__ = (UniqueConstraint("tenant_id", "org_id", "name"),)

    secret_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    #: Empty for one of the whole tenant.
    org_id: Mapped[Id] = mapped_column(default="")
    name: Mapped[Name]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_with: Mapped[Word] = mapped_column(index=True)
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]
