"""What operators look after: corrections of runs, records that were refused, and reconciliations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, Micro, Ms, Name, Typed, Word, one_of
from schemas.reconciliation import Reconciliation


class RunCorrection(Base):
    """A correction of a run, as it was sent. `request_id` is the event's: it applies once.

    `expected_micro` is what it was going to add to the charge when it was asked for; the ledger has what it
    did.
    """

    __tablename__ = "run_corrections"
    __table_args__ = (
        CheckConstraint(one_of("kind", "void", "amend", "rerate"), name="kind"),
        Index(None, "tenant_id", "created_at_ms"),
        Index(None, "org_id", "created_at_ms"),
    )

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"), primary_key=True)
    request_id: Mapped[Id] = mapped_column(primary_key=True)
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    run_id: Mapped[Id]
    kind: Mapped[Word]
    #: What it says beyond its kind, such as the price book or the call's usage.
    terms: Mapped[dict[str, Any]] = mapped_column(Typed(dict[str, Any]))
    expected_micro: Mapped[Micro]
    reason: Mapped[str] = mapped_column(String(512))
    requested_by: Mapped[Name]
    created_at_ms: Mapped[Ms]


class DeadLetterRow(Base):
    """A record that a worker refused, by where it stands in the log; the newest of them are kept.

    `org_id` is the record's key where it names an org, and then `tenant_id` whose that is. `value` is empty
    for a record that is larger than what is kept; `size_bytes` is of the whole of it.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (Index(None, "tenant_id", "recorded_at_ms", "letter_id"),)

    #: `<topic>-<partition>-<offset>`.
    letter_id: Mapped[Name] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    org_id: Mapped[Id]
    topic: Mapped[Id]
    partition: Mapped[int]
    offset: Mapped[int]
    reason: Mapped[Name]
    detail: Mapped[str] = mapped_column(String(512))
    worker: Mapped[Name]
    key: Mapped[bytes | None] = mapped_column(LargeBinary)
    value: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    size_bytes: Mapped[int]
    recorded_at_ms: Mapped[Ms]
    replays: Mapped[int] = mapped_column(default=0)
    replayed_at_ms: Mapped[Ms] = mapped_column(default=0)
    replayed_by: Mapped[Name] = mapped_column(default="")


class ReconciliationRow(Base):
    """A reconciliation: asked for by a person or by time, and once it is done what came of it."""

    __tablename__ = "reconciliations"
    __table_args__ = (Index(None, "tenant_id", "requested_at_ms", "request_id"),)

    request_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    only_org_id: Mapped[Id] = mapped_column(default="")
    since_ms: Mapped[Ms] = mapped_column(default=0)
    requested_by: Mapped[Name]
    requested_at_ms: Mapped[Ms]
    finished_at_ms: Mapped[Ms] = mapped_column(default=0)
    report: Mapped[Reconciliation | None] = mapped_column(Typed(Reconciliation))
