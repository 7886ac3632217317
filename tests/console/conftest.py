"""The console as its own process over the real API, and Chromium in front of it."""

from __future__ import annotations

import sys
from pathlib import Path

# The API's fixtures and its world are the console's too.
sys.path.insert(0, str(Path(__file__).parents[1] / "console_api"))

from browser_stack import browser, console_url, context, page
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
    "world",
]
