"""What instances are to know: their sources, and how far each is."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Ms, Name, Typed, Word, one_of

Strings = tuple[str, ...]


class KnowledgeSource(Base):
    """A source of an instance. `version` grows with every request about it, a deletion too.

    `attempt_ms` and `seq` are of the progress that was heard last: what is older changes nothing. A deleted
    source's row stays as a tombstone, so that late progress finds it and its id is not used again.
    """

    __tablename__ = "knowledge_sources"
    __table_args__ = (
        CheckConstraint(one_of("kind", "upload", "url", "site", "text", "qa"), name="kind"),
        Index(None, "instance_id", "created_at_ms", "source_id"),
        Index(None, "next_sync_ms"),
    )

    source_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    instance_id: Mapped[Id] = mapped_column(ForeignKey("instances.instance_id"))
    kind: Mapped[Word]
    title: Mapped[Name]
    url: Mapped[LongText] = mapped_column(default="")
    blob: Mapped[Id] = mapped_column(default="")
    size_bytes: Mapped[int] = mapped_column(default=0)
    max_pages: Mapped[int] = mapped_column(default=1)
    max_depth: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=1)
    status: Mapped[Word] = mapped_column(default="queued")
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    unit: Mapped[Word] = mapped_column(default="")
    pages: Mapped[int] = mapped_column(default=0)
    chunks: Mapped[int] = mapped_column(default=0)
    tokens: Mapped[int] = mapped_column(default=0)
    #: What its readable chunks were embedded with, and which model it was asked to be embedded with anew.
    model: Mapped[Name] = mapped_column(default="")
    asked_model: Mapped[Name] = mapped_column(default="")
    #: It is read anew every so often, and when next; 0: never by itself.
    resync_hours: Mapped[int] = mapped_column(default=0)
    next_sync_ms: Mapped[Ms] = mapped_column(default=0)
    error_code: Mapped[Id] = mapped_column(default="")
    error: Mapped[LongText] = mapped_column(default="")
    page_errors: Mapped[Strings] = mapped_column(Typed(Strings))
    attempt_ms: Mapped[Ms] = mapped_column(default=0)
    seq: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[Name]
    created_at_ms: Mapped[Ms]
    updated_at_ms: Mapped[Ms]
    ready_at_ms: Mapped[Ms] = mapped_column(default=0)
    #: When its deletion was asked for; its chunks are gone once `status` is `deleted`.
    deleted_at_ms: Mapped[Ms] = mapped_column(default=0)
