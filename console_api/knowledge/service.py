"""What may be done with knowledge sources.

Bytes come first, the row and its request after, in one transaction: a crash in between leaves bytes that
nobody asks for, never a source without its bytes.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control.errors import Conflict, PreconditionFailed
from console_api.control.outbox import service as outbox
from console_api.control.plane import ControlPlane, reading, writing
from console_api.database.tables import Instance, KnowledgeSource
from console_api.instances.owned import own_instance
from console_api.knowledge import repository, requests
from console_api.knowledge.models import (
    Answer,
    Asked,
    Found,
    NewSource,
    Piece,
    PiecePage,
    Progress,
    Quota,
    Source,
    SourceChange,
    SourcePage,
    Written,
)
from console_api.knowledge.progress import HOUR_MS
from console_api.knowledge.quota import Room, room_of
from console_api.knowledge.running import Knowledge
from kit.blobs import BlobMissing, BlobTooLarge, pieces
from kit.embeddings import EmbeddingAway, EmbeddingRefused
from kit.problems import BodyTooLarge, InvalidRequest, NotFound, Unavailable
from kit.vectors.port import Hit, Place, Question, StoreAway

log = logging.getLogger(__name__)

#: A source that was not heard of for so long may be asked for again.
_STUCK_MS = 600_000
#: A plan is an instance's for good.
_MORE_ROOM = "buy another instance on a plan with more room."


class QuotaReached(Conflict):
    """The plan has no room for more."""

    code, title = "knowledge_quota_reached", "The instance knows as much as its plan allows"


class KnowledgeAway(Unavailable):
    """What the instance knows cannot be read now."""

    code, title = "knowledge_unavailable", "Knowledge is not available right now"


async def page(
    session: AsyncSession,
    knowledge: Knowledge,
    principal: Principal,
    instance_id: str,
    *,
    limit: int,
    cursor: str | None,
) -> SourcePage:
    """Return a page of an instance's sources, newest first. Raises `NotFound` for another's instance."""
    owner = await own_instance(session, principal, instance_id)
    after = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.page(session, instance_id, after, limit + 1)
    shown = rows[:limit]
    last = (shown[-1].created_at_ms, shown[-1].source_id) if len(rows) > limit else None
    sources, size = await repository.used(session, instance_id)
    room = await room_of(session, knowledge.settings, owner)
    return SourcePage(
        sources=[_view(row) for row in shown],
        next_cursor=cursors.encode(last) if last else None,
        quota=Quota(sources=sources, max_sources=room.max_sources, bytes=size, max_bytes=room.max_bytes),
    )


async def source(session: AsyncSession, principal: Principal, instance_id: str, source_id: str) -> Source:
    """Return one source. Raises `NotFound`."""
    await own_instance(session, principal, instance_id)
    return _view(await _source(session, instance_id, source_id))


async def chunks(
    control: ControlPlane,
    knowledge: Knowledge,
    principal: Principal,
    instance_id: str,
    *,
    source_id: str,
    begin: int,
    limit: int,
) -> PiecePage:
    """Return what was read of a source, as it is read now. Raises `NotFound`, `KnowledgeAway`."""
    async with reading(control) as session:
        owner = await own_instance(session, principal, instance_id)
        row = await _source(session, instance_id, source_id)
    place = Place(tenant_id=owner.tenant_id, instance_id=instance_id, source_id=source_id)
    with _away_told():
        read = None if row.deleted_at_ms else await knowledge.store.active(place)
        if read is None:
            return PiecePage(version=0, total=0, chunks=[])
        found = await knowledge.store.chunks(read, begin, limit)
    shown = [Piece.model_validate(msgspec.structs.asdict(stored.chunk)) for stored in found]
    return PiecePage(version=read.version, total=read.chunks, chunks=shown)


async def create(
    control: ControlPlane, knowledge: Knowledge, principal: Principal, instance_id: str, wanted: NewSource
) -> Source:
    """Add a source of an address, a text or pairs. Raises `Forbidden`, `NotFound`, `Conflict`."""
    row = requests.new_row(
        principal, instance_id, wanted.kind, wanted.title or _title(wanted), control.clock()
    )
    row.url, row.resync_hours = wanted.url or "", wanted.resync_hours
    if wanted.kind == "site":
        row.max_pages, row.max_depth = wanted.max_pages, wanted.max_depth
    content = None if wanted.url else pieces(_encoded(wanted))
    return await _add(control, knowledge, principal, row, content)


async def upload(
    control: ControlPlane,
    knowledge: Knowledge,
    principal: Principal,
    instance_id: str,
    *,
    filename: str,
    content: AsyncIterator[bytes],
) -> Source:
    """Add a file, as it comes in. Raises `BodyTooLarge`, too."""
    row = requests.new_row(principal, instance_id, "upload", filename, control.clock())
    return await _add(control, knowledge, principal, row, content)


async def written(
    control: ControlPlane, knowledge: Knowledge, principal: Principal, instance_id: str, source_id: str
) -> tuple[Written, int]:
    """Return what was written, and its version. Raises `Conflict` for what was not written here."""
    async with reading(control) as session:
        await own_instance(session, principal, instance_id)
        row = await _source(session, instance_id, source_id)
    _is_written(row)
    with tempfile.TemporaryDirectory(prefix="knowledge-") as folder:
        copy = Path(folder) / "copy"
        try:
            await knowledge.blobs.fetch(source_id, row.blob, copy)
        except BlobMissing as error:
            raise NotFound("What was written is not there any more; write it anew.") from error
        content = copy.read_bytes()
    if row.kind == "qa":
        return Written(
            title=row.title, pairs=msgspec.json.decode(content, type=list[dict[str, str]])
        ), row.version
    return Written(title=row.title, text=content.decode()), row.version


async def rewrite(
    control: ControlPlane,
    knowledge: Knowledge,
    principal: Principal,
    instance_id: str,
    source_id: str,
    *,
    wanted: Written,
    read_version: int,
) -> Source:
    """Replace what was written; the agent answers from before until the new version is ready.

    The lock is held while bytes are written, which are few: of the two latest versions none is taken away
    that a worker may still be reading. Raises `PreconditionFailed` when somebody else was faster.
    """
    _may_change(principal)
    async with writing(control) as session:
        owner = await own_instance(session, principal, instance_id, lock=True)
        row = await _source(session, instance_id, source_id, lock=True)
        _is_written(row)
        _fits(row, wanted)
        if row.version != read_version:
            raise PreconditionFailed("The source has changed since you read it; read it again.")
        content, before = _encoded(wanted), row.blob
        await _has_room(session, knowledge, owner, len(content) - row.size_bytes, new=False)
        row.blob, row.size_bytes = await _put(knowledge, source_id, pieces(content))
        await knowledge.blobs.keep(source_id, {before, row.blob})
        row.title = (wanted.title or _title(wanted))[:200]
        await requests.ask_anew(session, row, principal.subject, control.clock(), "knowledge.rewrite")
    return _view(row)


async def resync(
    session: AsyncSession, principal: Principal, instance_id: str, source_id: str, now_ms: int
) -> Source:
    """Read a source anew; what was known of it stays until that is done. Raises `Conflict`."""
    _may_change(principal)
    await own_instance(session, principal, instance_id)
    row = await _source(session, instance_id, source_id, lock=True)
    if row.deleted_at_ms:
        raise Conflict("The source is being deleted.")
    if row.status not in ("ready", "failed") and now_ms - row.updated_at_ms < _STUCK_MS:
        raise Conflict("The source is being read already; wait until it is ready or has failed.")
    await requests.ask_anew(session, row, principal.subject, now_ms)
    return _view(row)


async def change(
    session: AsyncSession,
    principal: Principal,
    instance_id: str,
    source_id: str,
    *,
    wanted: SourceChange,
    now_ms: int,
) -> Source:
    """Change how often a source is read anew. Raises `Conflict` for one that never changes."""
    _may_change(principal)
    await own_instance(session, principal, instance_id)
    row = await _source(session, instance_id, source_id, lock=True)
    if row.kind not in ("url", "site") and wanted.resync_hours:
        raise Conflict("Only an address or a site is read anew by itself; other sources never change.")
    row.resync_hours = wanted.resync_hours
    row.next_sync_ms = now_ms + wanted.resync_hours * HOUR_MS if wanted.resync_hours else 0
    requests.record(
        session, row, principal.subject, "knowledge.schedule", now_ms, resync_hours=row.resync_hours
    )
    return _view(row)


async def delete(
    session: AsyncSession, principal: Principal, instance_id: str, source_id: str, now_ms: int
) -> Source:
    """Delete a source, its bytes and its chunks. Doing it again changes nothing."""
    _may_change(principal)
    await own_instance(session, principal, instance_id)
    row = await _source(session, instance_id, source_id, lock=True)
    if not row.deleted_at_ms:
        await requests.ask_to_delete(session, row, principal.subject, now_ms)
    return _view(row)


async def search(
    control: ControlPlane, knowledge: Knowledge, principal: Principal, instance_id: str, asked: Asked
) -> Answer:
    """Return what the instance knows about a question. Raises `KnowledgeAway`."""
    async with reading(control) as session:
        owner = await own_instance(session, principal, instance_id)
    with _away_told():
        made = await knowledge.embedder.embed([asked.query])
        hits = await knowledge.store.search(
            Question(
                tenant_id=owner.tenant_id,
                instance_id=instance_id,
                text=asked.query,
                vector=made.vectors[0],
                model=knowledge.embedder.model,
                k=asked.limit,
            )
        )
    return Answer(hits=[_found(hit) for hit in hits])


@contextlib.contextmanager
def _away_told() -> Iterator[None]:
    """Answer 503 while what instances know cannot be read."""
    try:
        yield
    except (StoreAway, EmbeddingAway, EmbeddingRefused) as error:
        log.warning("knowledge cannot be read", extra={"error": repr(error)})
        raise KnowledgeAway("Try again in a few seconds.", headers={"Retry-After": "5"}) from error


async def _add(
    control: ControlPlane,
    knowledge: Knowledge,
    principal: Principal,
    row: KnowledgeSource,
    content: AsyncIterator[bytes] | None,
) -> Source:
    _may_change(principal)
    async with reading(control) as session:
        owner = await own_instance(session, principal, row.instance_id)
        await _has_room(session, knowledge, owner, 0)
    row.tenant_id, row.org_id = owner.tenant_id, owner.org_id
    try:
        if content is not None:
            row.blob, row.size_bytes = await _put(knowledge, row.source_id, content)
        async with writing(control) as session:
            owner = await own_instance(session, principal, row.instance_id, lock=True)
            room = await _has_room(session, knowledge, owner, row.size_bytes)
            row.max_pages = min(row.max_pages, room.max_site_pages)
            repository.add(session, row)
            await requests.send(session, row, "index", row.created_at_ms)
            await outbox.project(session, "instance", row.instance_id, row.created_at_ms)
            requests.record(
                session, row, principal.subject, "knowledge.create", row.created_at_ms, kind=row.kind
            )
    except BaseException:
        # Nobody will ever ask for them.
        await knowledge.blobs.delete(row.source_id)
        raise
    return _view(row)


async def _put(knowledge: Knowledge, source_id: str, content: AsyncIterator[bytes]) -> tuple[str, int]:
    """Keep a source's bytes; return their name and how many. Raises `BodyTooLarge`."""
    most = knowledge.settings.max_upload_bytes
    try:
        return await knowledge.blobs.put(source_id, content, most)
    except BlobTooLarge as error:
        raise BodyTooLarge(f"A file has at most {most} bytes; split it.", limit_bytes=most) from error


async def _has_room(
    session: AsyncSession, knowledge: Knowledge, owner: Instance, more: int, *, new: bool = True
) -> Room:
    if owner.status == "ended":
        raise Conflict("The instance has ended; it learns nothing any more.")
    sources, size = await repository.used(session, owner.instance_id)
    room = await room_of(session, knowledge.settings, owner)
    if new and sources >= room.max_sources:
        raise QuotaReached(f"Your plan has room for {room.max_sources} sources; delete one, or {_MORE_ROOM}")
    if size + more > room.max_bytes:
        raise QuotaReached(f"Your plan has room for {room.max_bytes} bytes; delete a source, or {_MORE_ROOM}")
    return room


def _is_written(row: KnowledgeSource) -> None:
    if row.deleted_at_ms:
        raise Conflict("The source is being deleted.")
    if row.kind not in ("text", "qa"):
        raise Conflict("Only a text, or questions and answers, are written here; add other sources anew.")


def _fits(row: KnowledgeSource, wanted: Written) -> None:
    if (row.kind == "text") != bool(wanted.text.strip()) or (row.kind == "qa") != bool(wanted.pairs):
        raise InvalidRequest("A source of kind text has a text, and one of kind qa has pairs.")


def _encoded(wanted: NewSource | Written) -> bytes:
    """Return what is kept of a text, or of pairs."""
    if wanted.pairs:
        return msgspec.json.encode([pair.model_dump() for pair in wanted.pairs])
    return wanted.text.encode()


def _title(wanted: NewSource | Written) -> str:
    if isinstance(wanted, NewSource) and wanted.url:
        return wanted.url
    return wanted.text.strip().partition("\n")[0].strip("# ") if wanted.text else wanted.pairs[0].question


def _may_change(principal: Principal) -> None:
    roles.require(principal, "member", "To change what it knows")


async def _source(
    session: AsyncSession, instance_id: str, source_id: str, *, lock: bool = False
) -> KnowledgeSource:
    row = await repository.source(session, instance_id, source_id, lock=lock)
    if row is None:
        raise NotFound("The instance has no such source.")
    return row


def _view(row: KnowledgeSource) -> Source:
    return Source.model_validate(
        {
            **{name: getattr(row, name) for name in Source.model_fields if name != "progress"},
            "page_errors": list(row.page_errors),
            "progress": Progress(done=row.done, total=row.total, unit=row.unit),
        }
    )


def _found(hit: Hit) -> Found:
    return Found.model_validate(msgspec.structs.asdict(hit))
