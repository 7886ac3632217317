"""A TCP proxy that a test can cut, to take a store away without touching it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CutProxy:
    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._pipes: set[asyncio.Task[None]] = set()
        self._cut = False
        self.port = 0

    def cut(self) -> None:
        """Drop every connection and accept none that works."""
        self._cut = True
        for pipe in tuple(self._pipes):
            pipe.cancel()

    def mend(self) -> None:
        self._cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        with contextlib.suppress(asyncio.CancelledError, OSError), contextlib.closing(writer):
            if self._cut:
                return
            inner_reader, inner_writer = await asyncio.open_connection(*self._target)
            with contextlib.closing(inner_writer):
                await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))
        self._pipes.discard(task)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy(host: str, port: int) -> AsyncIterator[CutProxy]:
    made = CutProxy(host, port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.cut()
        await server.wait_closed()
