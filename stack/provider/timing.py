"""How fast the model answers, and pauses that end when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

FIRST_TOKEN_S = 0.25
TOKENS_PER_S = 80.0

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection; nobody reads the rest."""


class Pace:
    """When tokens are due, in seconds after the request. Scale 0: at once."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def due_s(self, tokens: int) -> float:
        """Return when that many tokens have been generated."""
        return self.scale * (FIRST_TOKEN_S + tokens / TOKENS_PER_S)

    def generated(self, elapsed_s: float) -> int:
        """Return how many tokens have been generated after that long. Only for scales above 0."""
        return max(0, int((elapsed_s / self.scale - FIRST_TOKEN_S) * TOKENS_PER_S))


class Connection:
    """Watches one client. The watching task starts with the first need: a short answer does without."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None

    async def pause(self, seconds: float) -> None:
        """Wait. Raises `ClientGone` as soon as the client leaves."""
        if seconds > 0:
            await asyncio.wait((self._watching(),), timeout=seconds)
            self._check()

    async def breathe(self) -> None:
        """Let the event loop notice a client that left. Raises `ClientGone`."""
        self._watching()
        await asyncio.sleep(0)
        self._check()

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.cancel()

    def _watching(self) -> asyncio.Task[None]:
        if self._watch is None:
            self._watch = asyncio.create_task(self._gone())
        return self._watch

    def _check(self) -> None:
        if self._watch is not None and self._watch.done():
            raise ClientGone

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
