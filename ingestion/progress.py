"""Tells the console how far a source is: every stage, not too often within one, and that it is alive."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kit.clock import Clock
from kit.publisher import Publisher
from kit.spool import SpoolFull
from kit.tasks import ended
from schemas import topics
from schemas.ingestion import IngestionRequest, SourceProgress, SourceStatus

Publish = Callable[[SourceProgress], Awaitable[None]]

_EVERY_MS = 300
_BEAT_S = 10.0
_ENDS = ("ready", "failed", "deleted")
_TEXT = 512


def publish_to(publisher: Publisher) -> Publish:
    """Return what publishes progress, durably."""

    async def publish(event: SourceProgress) -> None:
        await publisher.publish(topics.INGESTION_PROGRESS, event.org_id, event)

    return publish


class Progress:
    """The progress of one attempt at one request."""

    def __init__(self, request: IngestionRequest, publish: Publish, clock: Clock) -> None:
        self._request = request
        self._publish = publish
        self._clock = clock
        self._seq = 0
        self._status: SourceStatus = "queued"
        self._told_ms = 0
        self._last: dict[str, Any] = {}
        self.attempt_ms = clock()

    @asynccontextmanager
    async def beating(self, every_s: float = _BEAT_S) -> AsyncIterator[None]:
        """Say again what was said last while nothing else is, until the block ends."""
        beat = asyncio.create_task(self._beat(every_s))
        try:
            yield
        finally:
            await ended(beat)

    async def _beat(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            # A status that ends it is the last word.
            if self._last and self._status not in _ENDS and self._clock() - self._told_ms >= every_s * 900:
                # Only a sign of life: what cannot be told now is told by the next one.
                with contextlib.suppress(SpoolFull, OSError):
                    await self.tell(self._status, **self._last)

    async def moved(self, status: SourceStatus, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Tell of a stage, or of a step within it when the last one was told a while ago."""
        if status == self._status and self._clock() - self._told_ms < _EVERY_MS:
            return
        await self.tell(status, done=done, total=total, unit=unit)

    async def tell(
        self,
        status: SourceStatus,
        *,
        done: int = 0,
        total: int = 0,
        unit: str = "",
        counts: tuple[int, int, int] = (0, 0, 0),
        model: str = "",
        error: tuple[str, str] = ("", ""),
        page_errors: Sequence[str] = (),
        size_bytes: int = 0,
    ) -> None:
        """Tell it; `counts` are pages, chunks and tokens. Returns when it is durable."""
        self._seq += 1
        self._status = status
        self._last = {"done": done, "total": total, "unit": unit}
        self._told_ms = self._clock()
        request = self._request
        event = SourceProgress(
            tenant_id=request.tenant_id,
            org_id=request.org_id,
            instance_id=request.instance_id,
            source_id=request.source_id,
            version=request.version,
            attempt_ms=self.attempt_ms,
            seq=self._seq,
            status=status,
            done=done,
            total=total,
            unit=unit,
            pages=counts[0],
            chunks=counts[1],
            tokens=counts[2],
            bytes=size_bytes,
            model=model,
            error_code=error[0],
            error=error[1][:_TEXT],
            page_errors=[text[:_TEXT] for text in page_errors[:20]],
            occurred_at_ms=self._told_ms,
        )
        await self._publish(event)
