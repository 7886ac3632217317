"""Where a run's frames go: to the gateway, as lines, in order, as fast as it reads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from schemas.runner import Delta, Frame, encode_frame

_FRAMES = 1_024
#: How long text that nobody reads yet is gathered: what a runner that dies leaves unsaid at most.
_GATHER_S = 0.25


class Outlet:
    """The frames of one run. `streamed`: somebody reads the text as it is written."""

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(_FRAMES)
        self._abandoned = False
        self._gathered: list[str] = []
        self._gathering_since = 0.0

    def abandon(self) -> None:
        """Nobody reads the frames any more."""
        self._abandoned = True
        while not self._frames.empty():
            self._frames.get_nowait()

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the frames as lines, as many at once as there are, to the end."""
        while (frame := await self._frames.get()) is not None:
            lines = [encode_frame(frame)]
            ended = False
            while not self._frames.empty() and not ended:
                following = self._frames.get_nowait()
                ended = following is None
                if following is not None:
                    lines.append(encode_frame(following))
            yield b"".join(lines)
            if ended:
                return

    async def text(self, text: str) -> None:
        """Send a piece of the answer's text, at once or soon."""
        if self._streamed:
            await self.send(Delta(text=text))
            return
        now = time.monotonic()
        if not self._gathered:
            self._gathering_since = now
        self._gathered.append(text)
        if now - self._gathering_since >= _GATHER_S:
            await self._send_gathered()

    async def send(self, frame: Frame) -> None:
        """Send a frame; waits for a reader that lags."""
        await self._send_gathered()
        await self._put(frame)

    async def end(self) -> None:
        """Say that there will be no more."""
        await self._send_gathered()
        await self._put(None)

    async def _send_gathered(self) -> None:
        if self._gathered:
            text, self._gathered = "".join(self._gathered), []
            await self._put(Delta(text=text))

    async def _put(self, frame: Frame | None) -> None:
        if self._abandoned:
            return
        with contextlib.suppress(asyncio.QueueFull):
            self._frames.put_nowait(frame)
            return
        await self._frames.put(frame)
