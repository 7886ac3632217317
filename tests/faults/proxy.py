"""A TCP proxy in front of Redis that can be slow, cut, reset, or silently dead."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

_CHUNK = 65_536
#: Linger on, for no time: closing sends RST instead of FIN.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards a loopback port of its own to `target_port`."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._server: asyncio.Server | None = None
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._dead: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0
        #: Added to each chunk, in each direction.
        self.delay_s = 0.0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> int:
        """Close every connection in good order; return how many."""
        return self._end(reset=False)

    def reset(self) -> int:
        """Answer every connection with RST; return how many."""
        return self._end(reset=True)

    def half_open(self) -> int:
        """Let every connection stand and carry nothing any more; new ones work. Return how many."""
        for pair in self._open:
            self._dead.update(pair)
        return len(self._open)

    def _end(self, *, reset: bool) -> int:
        ended = tuple(self._open)
        for pair in ended:
            for writer in pair:
                raw = writer.get_extra_info("socket")
                if reset and raw is not None:
                    with contextlib.suppress(OSError):
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    writer.transport.abort()
                writer.close()
        return len(ended)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        pair = (writer, inner_writer)
        self._open.add(pair)
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink, pair))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        try:
            while data := await source.read(_CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if sink in self._dead:
                    continue
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            self._open.discard(pair)
            for writer in pair:
                self._dead.discard(writer)
                writer.close()
