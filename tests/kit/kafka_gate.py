"""A door in front of Kafka that a test opens and closes; the broker's own address leads through it too."""

from __future__ import annotations

import asyncio
import contextlib
import struct

_CHUNK = 65_536


def _address(host: str, port: int) -> bytes:
    return host.encode() + struct.pack(">i", port)


class KafkaGate:
    """Listens on a port of its own while it is open; every connection ends when it closes."""

    def __init__(self, bootstrap: str, port: int) -> None:
        host, _, broker_port = bootstrap.rpartition(":")
        self._host, self._broker_port, self._port = host, int(broker_port), port
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self.address = f"{host}:{port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._forward, self._host, self._port)

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        pumps = list(self._pumps)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    async def _forward(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        broker_in, broker_out = await asyncio.open_connection(self._host, self._broker_port)
        both = (client_out, broker_out)
        self._start(self._pump(client_in, broker_out, both, renamed=False))
        self._start(self._pump(broker_in, client_out, both, renamed=True))

    def _start(self, pump: object) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(pump)  # type: ignore[arg-type]
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, ...],
        *,
        renamed: bool,
    ) -> None:
        theirs, ours = _address(self._host, self._broker_port), _address(self._host, self._port)
        try:
            while data := await source.read(_CHUNK):
                # Same length, so the frame around it stays right.
                target.write(data.replace(theirs, ours) if renamed else data)
                await target.drain()
        except OSError:
            pass
        finally:
            for writer in both:
                writer.close()
            with contextlib.suppress(OSError):
                await target.wait_closed()
