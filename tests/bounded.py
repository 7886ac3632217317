"""Ends an async test that waits for ever and says where, and is patient with browsers: a plugin.

A signal's exception is lost if it comes while the loop runs a callback, so the bound is the loop's own. What
even that does not end, `timeout_method` in pyproject.toml does, with the process.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import expect
from waiting import PATIENCE_S

_BOUND_S = 540.0
# Playwright's own five seconds are less than a busy machine needs for a page.
expect.set_options(timeout=PATIENCE_S * 1_000)


def _bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def bounded(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(_BOUND_S):
            await test(*args, **kwargs)

    return bounded


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _bounded(item.obj)
