"""Waiting for a condition, with a bound, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

_POLL_S = 0.02


async def eventually(check: Callable[[], Awaitable[bool]], what: str, seconds: float = 30.0) -> float:
    """Wait until a condition holds; return how long it took. Raises `AssertionError` when the time is up."""
    began = time.monotonic()
    while not await check():
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(_POLL_S)
    return time.monotonic() - began
