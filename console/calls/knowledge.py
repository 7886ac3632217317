"""What an instance knows: its sources, and a search over them."""

from __future__ import annotations

from msgspec import Struct

from console.api import Call
from console.calls.paging import all_pages, paged
from console.visitor import Visitor, part, plain


class Progress(Struct, frozen=True):
    done: int = 0
    total: int = 0
    unit: str = ""


class Source(Struct, frozen=True):
    """A source and how far its newest version is."""

    source_id: str
    kind: str
    title: str
    url: str
    size_bytes: int
    version: int
    status: str
    progress: Progress
    pages: int
    chunks: int
    tokens: int
    error: str
    page_errors: tuple[str, ...]
    created_at_ms: int
    updated_at_ms: int
    ready_at_ms: int
    resync_hours: int = 0


class Quota(Struct, frozen=True):
    sources: int
    max_sources: int
    bytes: int
    max_bytes: int


class SourcePage(Struct, frozen=True):
    sources: tuple[Source, ...]
    next_cursor: str | None
    quota: Quota


class Found(Struct, frozen=True):
    """A piece of a source."""

    source_id: str
    title: str
    url: str
    section: str
    page: int
    text: str
    score: float
    similarity: float


class Piece(Struct, frozen=True):
    """A piece of a source, in its order."""

    ordinal: int
    section: str
    page: int
    text: str


class PiecePage(Struct, frozen=True):
    total: int
    chunks: tuple[Piece, ...]


class Pair(Struct, frozen=True):
    """A question, and the answer to it."""

    question: str
    answer: str


class Written(Struct, frozen=True):
    """What somebody wrote: a text, or pairs."""

    title: str
    text: str = ""
    pairs: tuple[Pair, ...] = ()


class _Answer(Struct):
    hits: tuple[Found, ...]


def _path(instance_id: str, source_id: str = "") -> str:
    return f"/instances/{part(instance_id)}/sources" + (f"/{part(source_id)}" if source_id else "")


async def sources(visitor: Visitor, instance_id: str) -> SourcePage:
    """Return all sources."""
    path = _path(instance_id)
    pages = await all_pages(lambda cursor: visitor.get(path, SourcePage, paged(cursor)))
    return SourcePage(tuple(source for page in pages for source in page.sources), None, pages[-1].quota)


async def add(visitor: Visitor, instance_id: str, **wanted: object) -> Source:
    return await visitor.post(_path(instance_id), Source, wanted)


async def upload(visitor: Visitor, instance_id: str, filename: str, content: bytes) -> Source:
    call = Call(
        "POST",
        f"{_path(instance_id)}:upload",
        content=content,
        headers={"Content-Type": "application/octet-stream", "X-Filename": part(filename)},
    )
    return (await visitor.call(call)).as_(Source)


async def resync(visitor: Visitor, instance_id: str, source_id: str) -> None:
    await visitor.call(Call("POST", f"{_path(instance_id, source_id)}:resync"))


async def schedule(visitor: Visitor, instance_id: str, source_id: str, hours: int) -> None:
    await visitor.call(Call("PATCH", _path(instance_id, source_id), body={"resync_hours": hours}))


async def written(visitor: Visitor, instance_id: str, source_id: str) -> tuple[Written, str]:
    """Return what was written, and its ETag."""
    return await visitor.versioned(f"{_path(instance_id, source_id)}/content", Written)


async def rewrite(visitor: Visitor, instance_id: str, source_id: str, wanted: Written, etag: str) -> None:
    """Write anew what is based on an ETag. Raises `Stale`."""
    path = f"{_path(instance_id, source_id)}/content"
    await visitor.call(Call("PUT", path, body=plain(wanted), headers={"If-Match": etag}))


async def pieces(visitor: Visitor, instance_id: str, source_id: str, begin: int, limit: int) -> PiecePage:
    path = f"{_path(instance_id, source_id)}/chunks"
    return await visitor.get(path, PiecePage, {"begin": str(begin), "limit": str(limit)})


async def delete(visitor: Visitor, instance_id: str, source_id: str) -> None:
    await visitor.call(Call("DELETE", _path(instance_id, source_id)))


async def search(visitor: Visitor, instance_id: str, query: str) -> tuple[Found, ...]:
    path = f"/instances/{part(instance_id)}/knowledge:search"
    return (await visitor.post(path, _Answer, {"query": query, "limit": 5})).hits
