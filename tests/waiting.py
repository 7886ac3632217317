"""Waiting for a condition, with a bound, instead of sleeping and hoping.

The bound is one for all tests, and far above what anything takes: a slow or busy machine fails no test,
and what never comes true still ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

#: How long a test waits, in seconds, before it says that something will not happen.
PATIENCE_S = 180.0
_POLL_S = 0.02


async def eventually(check: Callable[[], Awaitable[bool]], what: str) -> float:
    """Wait until a condition holds; return how long it took. Raises `AssertionError` when the time is up."""
    began = time.monotonic()
    while not await check():
        assert time.monotonic() - began < PATIENCE_S, f"not within {PATIENCE_S:.0f} s: {what}"
        await asyncio.sleep(_POLL_S)
    return time.monotonic() - began


async def until(check: Callable[[], bool], what: str = "it comes true") -> None:
    """Wait as `eventually` does for what is asked without waiting."""

    async def asked() -> bool:
        return check()

    await eventually(asked, what)


def soon(check: Callable[[], bool], what: str = "it comes true") -> None:
    """Wait as `eventually` does, without a loop."""
    began = time.monotonic()
    while not check():
        assert time.monotonic() - began < PATIENCE_S, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(_POLL_S)


def patient(context: BrowserContext) -> BrowserContext:
    """Return a browser's context that waits for what is clicked or filled in as long as for all else."""
    context.set_default_timeout(PATIENCE_S * 1_000)
    return context
