"""Brings a result from the worker thread that makes it to the event loop that sends it."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator

from stack.clickhouse import compression, errors
from stack.clickhouse.connection import Block
from stack.clickhouse.errors import QueryError

_PIECE = 1 << 20
_IN_MEMORY = 16 << 20
#: Blocks that may wait for the client; with it a slow reader slows the query instead of filling memory.
_DEPTH = 3


class Outlet:
    """A bounded pipe of one result: `put` and `fail` in the worker thread, `get` and `close` on the loop."""

    def __init__(self, stall_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Block | Exception] = asyncio.Queue()
        self._room = threading.Semaphore(_DEPTH)
        self._stall_seconds = stall_seconds
        self._closed = False

    def put(self, block: Block) -> None:
        """Hand over one block. Raises `QueryError` 210 when the client is gone or has stopped reading."""
        if not self._room.acquire(timeout=self._stall_seconds) or self._closed:
            raise QueryError(errors.NETWORK_ERROR, "The client stopped reading the result")
        self._loop.call_soon_threadsafe(self._items.put_nowait, block)

    def fail(self, error: Exception) -> None:
        """Hand over the error that ended the query."""
        self._loop.call_soon_threadsafe(self._items.put_nowait, error)

    async def get(self) -> Block:
        """Return the next block, or raise the error that came instead."""
        item = await self._items.get()
        self._room.release()
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """Take nothing more: the worker's next `put` fails."""
        self._closed = True
        self._room.release()


def spooled(blocks: Iterator[Block], directory: str, limit: int) -> Iterator[Block]:
    """Yield the blocks only once all are there (`wait_end_of_query=1`): an error comes before any byte.

    Above 16 MiB they wait in a file. Raises `QueryError` 396 above `limit` bytes.
    """
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=directory) as spool:
        size = 0
        for block in blocks:
            if block.last and size == 0:
                yield block
                return
            size += len(block.data)
            if size > limit:
                raise QueryError(errors.TOO_MANY_ROWS_OR_BYTES, f"Result is larger than {limit} bytes")
            spool.write(block.data)
            stats = block.stats
        spool.seek(0)
        while size > 0:
            data = spool.read(_PIECE)
            size -= len(data)
            yield Block(data, stats, last=size <= 0)


def with_exception_frame(blocks: Iterator[Block], tag: str, version: str) -> Iterator[Block]:
    """Turn an error after the first block into ClickHouse's frame at the end of the body.

    `__exception__ CRLF tag CRLF message LF length SP tag CRLF __exception__ CRLF`; the caller then breaks
    the connection, so that no client takes the result for complete.
    """
    begun = False
    try:
        for block in blocks:
            begun = True
            yield block
    except QueryError as error:
        if not begun:
            raise
        message = error.body(version)
        frame = b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (
            tag.encode(),
            message,
            len(message),
            tag.encode(),
        )
        raise BrokenResult(frame, error) from error


class BrokenResult(Exception):
    """A result that failed after its first bytes went out; `frame` says so within the body."""

    def __init__(self, frame: bytes, error: QueryError) -> None:
        super().__init__(error.text)
        self.frame = frame
        self.error = error


def encoded(blocks: Iterator[Block], encoding: str) -> Iterator[Block]:
    """Compress a stream of blocks; an exception frame goes through the same stream."""
    encoder = compression.encoder(encoding)
    try:
        for block in blocks:
            data = encoder.compress(block.data)
            if block.last:
                data += encoder.flush()
            if data or block.last:
                yield block._replace(data=data)
    except BrokenResult as broken:
        broken.frame = encoder.compress(broken.frame) + encoder.flush()
        raise
