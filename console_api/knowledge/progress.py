"""Hears from the ingestion workers how far sources are, and writes it down.

What a crash repeats is older than what the row says.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.outbox import service as outbox
from console_api.database.engine import Database
from console_api.database.tables import KnowledgeSource
from console_api.knowledge import repository
from schemas.ingestion import SourceProgress

GROUP = "runmeter-knowledge"
HOUR_MS = 3_600_000


async def take(database: Database, events: Sequence[SourceProgress]) -> None:
    """Write down how far sources are, in one transaction."""
    async with database.writing() as session:
        for event in events:
            await apply(session, event)


async def apply(session: AsyncSession, event: SourceProgress) -> bool:
    """Make a source's row say what is the news about it; return whether it was news."""
    row = await repository.any_source(session, event.source_id)
    if row is None or event.version != row.version or row.status == "deleted":
        return False
    if (event.attempt_ms, event.seq) <= (row.attempt_ms, row.seq) and event.status not in (
        "ready",
        "deleted",
    ):
        return False
    if bool(row.deleted_at_ms) != (event.status == "deleted"):
        return False
    row.attempt_ms, row.seq = event.attempt_ms, event.seq
    row.status, row.updated_at_ms = event.status, event.occurred_at_ms
    row.done, row.total, row.unit = event.done, event.total, event.unit
    row.error_code, row.error = event.error_code, event.error
    row.page_errors = tuple(event.page_errors)
    if event.status == "ready":
        row.pages, row.chunks, row.tokens = event.pages, event.chunks, event.tokens
        row.ready_at_ms, row.model = event.occurred_at_ms, event.model
        row.size_bytes = event.bytes or row.size_bytes
    if event.status in ("ready", "failed") and row.resync_hours:
        row.next_sync_ms = event.occurred_at_ms + row.resync_hours * HOUR_MS
    if event.status == "deleted":
        _forget(row)
    if event.status in ("ready", "failed", "deleted"):
        # Whether there is anything to search is a part of what gateways know of the instance.
        await outbox.project(session, "instance", row.instance_id, event.occurred_at_ms)
    return True


def _forget(row: KnowledgeSource) -> None:
    """Leave of a deleted source that there was one."""
    row.title = row.url = row.blob = ""
    row.size_bytes = row.pages = row.chunks = row.tokens = row.next_sync_ms = 0
