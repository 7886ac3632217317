"""A real server over real stores, and a world written the way the workers write it."""

from __future__ import annotations

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
    "clickhouse",
    "clickhouse_database",
    "config",
    "http",
    "redis",
    "world",
]
