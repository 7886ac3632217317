"""One request, from its bytes to what readers find.

Order of effects, and what a crash in each gap costs:
  1. chunks of a new generation into the store — nobody reads them; the next attempt writes its own
  2. usage — repeated by the next attempt under the same run, which changes nothing
  3. the generation is activated: readers see the new version, all of it, and the old one goes
  4. progress `ready` — the next attempt finds the version active, and only says so again
  5. Kafka's offset is committed (`consumer`)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace
from redis.exceptions import RedisError

from ingestion import metrics
from ingestion.errors import SourceFailed
from ingestion.fetching import Fetcher, Files
from ingestion.parsing.job import Job, Moved
from ingestion.parsing.runner import Parsed, parse
from ingestion.progress import Progress, Publish
from ingestion.reuse import Reuse, embedded_text
from ingestion.usage import Usage, Used
from kit import tokens
from kit.clock import Clock, new_id
from kit.embeddings import Embedder, EmbeddingAway, EmbeddingRefused
from kit.projections import NotProjectedYet
from kit.settings import IngestionSettings
from kit.spool import SpoolFull
from kit.vectors.port import Chunk, Generation, Place, StoreAway, VectorStore
from schemas.ingestion import IngestionRequest

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Come again: a store or model that is away is not the source's fault.
_AWAY = (StoreAway, EmbeddingAway, NotProjectedYet, RedisError, SpoolFull, OSError)
_LAST_WRITE_S = 15.0
_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass
class Attempt:
    """One attempt at a request. `written`: chunks of it may stand in the store, seen by nobody."""

    generation: Generation
    used: Used
    written: bool = False


class Pipeline:
    """Does what requests ask for."""

    def __init__(
        self,
        fetcher: Fetcher,
        embedder: Embedder,
        store: VectorStore,
        usage: Usage,
        publish: Publish,
        *,
        settings: IngestionSettings,
        clock: Clock,
    ) -> None:
        self._fetcher = fetcher
        self._embedder = embedder
        self._store = store
        self._usage = usage
        self._publish = publish
        self._settings = settings
        self._clock = clock

    async def handle(self, request: IngestionRequest) -> None:
        """Do what is asked for, and tell of it. Returns when all of it is durable."""
        progress = Progress(request, self._publish, self._clock)
        with metrics.WORKING.track_inprogress():
            if request.action == "delete":
                await _until_done(lambda: self._store.delete(place_of(request), request.version))
                await _until_done(lambda: self._fetcher.forget(request))
                await progress.tell("deleted")
                metrics.ended("deleted")
                return
            async with progress.beating():
                await self._bounded(request, progress)

    async def _bounded(self, request: IngestionRequest, progress: Progress) -> None:
        attempt = Attempt(self._generation(request), Used(model=self._embedder.model))
        failed = SourceFailed("internal_error")
        try:
            async with asyncio.timeout(self._settings.source_timeout_ms / 1000):
                await self._index(request, attempt, progress)
            return
        except SourceFailed as error:
            failed = error
        except TimeoutError:
            failed = SourceFailed("unavailable")
        except Exception:
            log.exception("a source failed", extra={"source_id": request.source_id})
        await self._failed(request, attempt, progress, failed)

    async def _failed(
        self, request: IngestionRequest, attempt: Attempt, progress: Progress, failed: SourceFailed
    ) -> None:
        """Say why, meter what it used, and leave nothing of it; a crash in between does all of it anew."""
        error = (failed.code, failed.text)
        await progress.tell("failed", error=error, page_errors=failed.page_errors)
        metrics.ended("failed")
        if attempt.used.tokens:
            await _until_done(lambda: self._usage.publish(request, attempt.used, failed.code))
        if not attempt.written:
            return
        known = await _until_done(lambda: self._store.active(place_of(request)))
        if known is not None and known.name == attempt.generation.name:
            # Time was up after the store had made the switch, and before it had said so.
            await self._ready(progress, known, [])
        else:
            await _until_done(lambda: self._store.discard(attempt.generation))

    def _generation(self, request: IngestionRequest) -> Generation:
        return Generation(
            place=place_of(request),
            version=request.version,
            attempt=new_id("try"),
            model=self._embedder.model,
        )

    async def _index(self, request: IngestionRequest, attempt: Attempt, progress: Progress) -> None:
        known = await _until_done(lambda: self._store.active(place_of(request)))
        if known is not None and known.version >= request.version:
            await self._ready(progress, known, [])
            return
        # The least it can come to: a word, on a page.
        least = Used(self._embedder.model, tokens=1, pages=1)
        await _until_done(lambda: self._usage.check(request, least))
        await progress.moved("fetching")
        with tempfile.TemporaryDirectory(prefix="ingestion-") as folder:
            files = await self._fetcher.fetch(request, Path(folder), progress)
            parsed = await self._parse(request, files, Path(folder), progress)
        attempt.used.pages = parsed.pages
        reuse = await _until_done(lambda: Reuse.of(self._store, known, self._embedder.model))
        await self._check_price(request, parsed, reuse)
        await self._embed(attempt, reuse, parsed.chunks, progress)
        await progress.moved("indexing", len(parsed.chunks), len(parsed.chunks), "chunks")
        await _until_done(lambda: self._usage.publish(request, attempt.used))
        whole = replace(
            attempt.generation,
            chunks=len(parsed.chunks),
            pages=parsed.pages,
            tokens=attempt.used.tokens,
        )
        await _unbroken(_until_done(lambda: self._store.activate(whole)))
        # From here on nothing of it may be taken back.
        attempt.written = False
        metrics.indexed(whole)
        await self._ready(progress, whole, [*files.page_errors, *parsed.page_errors], files.bytes)

    async def _ready(
        self, progress: Progress, made: Generation, page_errors: list[str], size_bytes: int = 0
    ) -> None:
        await progress.tell(
            "ready",
            done=made.chunks,
            total=made.chunks,
            unit="chunks",
            counts=(made.pages, made.chunks, made.tokens),
            model=made.model,
            page_errors=page_errors,
            size_bytes=size_bytes,
        )
        metrics.ended("ready")

    async def _parse(
        self, request: IngestionRequest, files: Files, folder: Path, progress: Progress
    ) -> Parsed:
        settings = self._settings
        job = Job(
            items=files.items,
            kind=request.kind if request.kind in ("text", "qa") else "documents",
            max_pages=settings.max_pages,
            max_text_chars=settings.max_text_chars,
            max_unpacked_bytes=settings.max_file_bytes * 4,
            chunk_tokens=settings.chunk_tokens,
            chunk_overlap_tokens=settings.chunk_overlap_tokens,
            max_chunks=settings.max_chunks,
            memory_bytes=settings.parse_memory_bytes,
            cpu_s=settings.parse_cpu_s,
        )

        async def moving(said: Moved) -> None:
            await progress.moved(
                said.stage, said.done, said.total, "files" if said.stage == "parsing" else "pages"
            )

        await progress.moved("parsing", 0, len(files.items), "files")
        try:
            return await parse(job, folder, settings.parse_timeout_ms / 1000, moving)
        except SourceFailed as failed:
            failed.page_errors = (*files.page_errors, *failed.page_errors)
            raise

    async def _check_price(self, request: IngestionRequest, parsed: Parsed, reuse: Reuse) -> None:
        """Refuse what the instance cannot pay before any of it is used. Raises `SourceFailed`."""

        def counted() -> int:
            texts = map(embedded_text, parsed.chunks)
            new = (text for text in texts if reuse.vector(text) is None)
            return sum(tokens.count(text, self._embedder.model) for text in new)

        expected = Used(self._embedder.model, await asyncio.to_thread(counted), parsed.pages)
        await _until_done(lambda: self._usage.check(request, expected))

    async def _embed(self, attempt: Attempt, reuse: Reuse, chunks: list[Chunk], progress: Progress) -> None:
        """Write the chunks with their vectors: what is read now already has some of them."""
        size = self._embedder.batch_texts
        for begin in range(0, len(chunks), size):
            await progress.moved("embedding", begin, len(chunks), "chunks")
            batch = chunks[begin : begin + size]
            vectors = await self._vectors([embedded_text(chunk) for chunk in batch], reuse, attempt.used)
            counted = [replace(chunk, tokens=tokens.count(chunk.text, "")) for chunk in batch]
            attempt.written = True
            write = partial(self._store.upsert, attempt.generation, counted, vectors)
            await _unbroken(_until_done(write))

    async def _vectors(self, texts: list[str], reuse: Reuse, used: Used) -> list[Sequence[float]]:
        """Return the vectors of some texts, embedding those that are new."""
        new = [text for text in texts if reuse.vector(text) is None]
        if not new:
            return [vector for text in texts if (vector := reuse.vector(text)) is not None]
        try:
            made = await _until_done(partial(self._embedder.embed, new))
        except EmbeddingRefused as error:
            raise SourceFailed("embedding_refused") from error
        used.tokens += made.tokens
        fresh = iter(made.vectors)
        return [next(fresh) if (vector := reuse.vector(text)) is None else vector for text in texts]


def place_of(request: IngestionRequest) -> Place:
    """Return whose source it is."""
    return Place(tenant_id=request.tenant_id, instance_id=request.instance_id, source_id=request.source_id)


async def _unbroken(call: Coroutine[Any, Any, T]) -> T:
    """Await a write to its end even when cancelled: what is deleted next must find all of it."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(TimeoutError, Exception):
            async with asyncio.timeout(_LAST_WRITE_S):
                await task
        raise


async def _until_done(call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call returns, as often as it takes while a part is away."""
    attempt = 0
    while True:
        try:
            return await call()
        except _AWAY as error:
            log.warning("a part is away, trying again", extra={"error": repr(error)})
            metrics.RETRIES.inc()
            delay = _RETRY_S[min(attempt, len(_RETRY_S) - 1)]
            await asyncio.sleep(delay * (0.5 + random.random()))  # noqa: S311 - a pause
            attempt += 1
