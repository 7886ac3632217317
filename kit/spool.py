"""A local, fsynced queue for events that Kafka could not take.

Segments of `[u32 length][u32 crc32][payload]` records. `append` returns only after the record is on disk
(one fsync serves all that wait). A segment is deleted when everything in it was published; a crash in
between publishes it again, which costs nothing, because every event is idempotent.
"""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct("<II")
_SEGMENT_BYTES = 8 * 1024 * 1024


class SpoolFull(Exception):
    """The spool's limit, or the disk, is reached: nothing was written and the event is not acknowledged."""


class Spool:
    """One process's spool directory. Use from a single event loop."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._max_bytes = max_bytes
        self._bytes = sum(path.stat().st_size for path in self.segments())
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        # Never append behind a torn tail: what follows it would be unreadable.
        self._number = 0
        self._active = self._next_segment()

    def segments(self) -> list[Path]:
        """Return the segment files, oldest first."""
        return sorted(self._directory.glob("*.spool"))

    @property
    def depth_bytes(self) -> int:
        """Bytes waiting on disk."""
        return self._bytes

    async def append(self, payload: bytes) -> None:
        """Write one record durably. Raises `SpoolFull`."""
        size = len(payload) + _HEADER.size
        if self._bytes + size > self._max_bytes:
            raise SpoolFull(f"the spool holds its limit of {self._max_bytes} bytes")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((payload, done))
        self._bytes += size
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                framed = b"".join(_HEADER.pack(len(p), zlib.crc32(p)) + p for p, _ in batch)
                error = await asyncio.to_thread(_write_durably, self._active, framed)
                if error is not None:
                    self._bytes -= len(framed)
                _resolve(batch, error)
                self._rotate(torn=error is not None)
        finally:
            self._flushing = None

    async def flushed(self) -> None:
        """Return when nothing is being written. Being cancelled meanwhile disturbs no write."""
        while self._flushing is not None:
            await asyncio.wait([self._flushing])

    def _rotate(self, *, torn: bool) -> None:
        """Go on in a new segment behind a torn or a full one."""
        if torn or self._active.stat().st_size > _SEGMENT_BYTES:
            self._active = self._next_segment()

    def oldest(self) -> Path | None:
        """Return the oldest segment with records, no longer appended to; `None` when the spool is empty."""
        for path in self.segments():
            if path == self._active:
                if self._flushing is not None:
                    return None
                self._active = self._next_segment()
            return path
        return None

    def remove(self, segment: Path) -> None:
        """Forget a segment whose records were all published."""
        self._bytes = max(0, self._bytes - segment.stat().st_size)
        segment.unlink()

    def _next_segment(self) -> Path:
        """Name a segment. Only a write makes it, so that a full disk cannot keep a torn one in use."""
        last = self.segments()
        self._number = max(self._number, int(last[-1].stem) if last else 0) + 1
        return self._directory / f"{self._number:012d}.spool"


def _resolve(batch: list[tuple[bytes, asyncio.Future[None]]], error: OSError | None) -> None:
    for _, done in batch:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(SpoolFull(f"the spool could not be written: {error.strerror}"))


def read(segment: Path) -> Iterator[bytes]:
    """Yield a segment's records, up to a torn tail (which was never acknowledged)."""
    data = segment.read_bytes()
    at = 0
    while at + _HEADER.size <= len(data):
        length, crc = _HEADER.unpack_from(data, at)
        payload = data[at + _HEADER.size : at + _HEADER.size + length]
        if len(payload) != length or zlib.crc32(payload) != crc:
            return
        yield payload
        at += _HEADER.size + length


def _write_durably(path: Path, data: bytes) -> OSError | None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error
    return None
