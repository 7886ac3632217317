"""A source's row and what goes out with each change of it: a request on Kafka, an entry in the audit log."""

from __future__ import annotations

from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.outbox import service as outbox
from console_api.database.tables import KnowledgeSource
from console_api.knowledge.quota import Allowed
from kit.clock import new_id
from schemas import topics
from schemas.ingestion import IngestionRequest, SourceAction, SourceKind


def new_row(
    principal: Principal, instance_id: str, kind: SourceKind, title: str, now_ms: int
) -> KnowledgeSource:
    row = KnowledgeSource(
        source_id=new_id("src"),
        tenant_id="",
        org_id="",
        instance_id=instance_id,
        kind=kind,
        title=title[:200],
        url="",
        blob="",
        size_bytes=0,
        max_pages=1,
        max_depth=0,
        version=0,
        ready_at_ms=0,
        deleted_at_ms=0,
        pages=0,
        chunks=0,
        tokens=0,
        created_by=principal.subject,
        created_at_ms=now_ms,
    )
    begin(row, now_ms)
    return row


def begin(row: KnowledgeSource, now_ms: int) -> None:
    """Make the row say that its next version was asked for."""
    row.version += 1
    row.status, row.done, row.total, row.unit = "queued", 0, 0, ""
    row.error_code, row.error, row.page_errors = "", "", ()
    row.attempt_ms, row.seq, row.updated_at_ms = 0, 0, now_ms


async def send(
    session: AsyncSession,
    row: KnowledgeSource,
    action: SourceAction,
    now_ms: int,
    allowed: Allowed | None = None,
) -> None:
    """Ask the ingestion workers."""
    request = IngestionRequest(
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        instance_id=row.instance_id,
        source_id=row.source_id,
        version=row.version,
        action=action,
        kind=cast(SourceKind, row.kind),
        title=row.title,
        blob=row.blob,
        url=row.url,
        max_pages=allowed.max_pages if allowed else row.max_pages,
        max_depth=row.max_depth,
        max_bytes=allowed.max_bytes if allowed else 0,
        requested_at_ms=now_ms,
    )
    command = f"{row.source_id}:{row.version}"
    await outbox.send(session, topics.INGESTION_REQUESTED, row.org_id, command, request, at_ms=now_ms)


async def ask_anew(
    session: AsyncSession,
    row: KnowledgeSource,
    allowed: Allowed,
    *,
    actor: str,
    now_ms: int,
    action: str = "knowledge.resync",
) -> None:
    """Ask for the next version of a source; what was known of it stays until that is ready."""
    begin(row, now_ms)
    await send(session, row, "index", now_ms, allowed)
    record(session, row, actor, action, now_ms)


async def ask_to_delete(session: AsyncSession, row: KnowledgeSource, actor: str, now_ms: int) -> None:
    """Ask for the end of a source, its bytes and its chunks."""
    begin(row, now_ms)
    row.status, row.deleted_at_ms = "deleting", now_ms
    await send(session, row, "delete", now_ms)
    record(session, row, actor, "knowledge.delete", now_ms)


def record(
    session: AsyncSession, row: KnowledgeSource, actor: str, action: str, at_ms: int, **details: object
) -> None:
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=actor,
        action=action,
        target=("knowledge_source", row.source_id),
        at_ms=at_ms,
        instance_id=row.instance_id,
        **details,
    )
