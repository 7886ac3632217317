"""The console as its own process over the real API, and Chromium in front of it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

# The fixtures and worlds of the API are the console's too.
sys.path.insert(0, str(Path(__file__).parents[1] / "console_api"))
sys.path.insert(0, str(Path(__file__).parents[1] / "control"))
# `axe`; last, for its names are common ones.
sys.path.append(str(Path(__file__).parents[2] / "e2e"))

import pytest
import pytest_asyncio
from browser_stack import browser, console_url, context, page
from console_rig import Rig, rig
from console_stack import (
    api_settings,
    base_url,
    clickhouse,
    clickhouse_database,
    config,
    http,
    redis,
    world,
)

from console_api.app import Config


@pytest_asyncio.fixture(scope="session")
async def shop(config: Config, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """An org with a control plane, and what it may buy."""
    async with rig(tmp_path_factory.mktemp("shop"), config.redis.url, config.clickhouse) as opened:
        yield opened


__all__ = [
    "api_settings",
    "base_url",
    "browser",
    "clickhouse",
    "clickhouse_database",
    "config",
    "console_url",
    "context",
    "http",
    "page",
    "redis",
    "shop",
    "world",
]
