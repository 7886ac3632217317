"""Is this process up, and can it reach what it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from redis.exceptions import RedisError

from console_api.stores import Stores
from console_api.warehouse import WarehouseAway
from schemas import keys

_CHECK_TIMEOUT_S = 3.0


async def checks(stores: Stores) -> dict[str, str]:
    """Return each store as `ok` or `unreachable`, within three seconds."""
    redis, clickhouse = await asyncio.gather(_up(_ping_redis(stores)), _up(stores.warehouse.ping()))
    return {"redis": redis, "clickhouse": clickhouse}


async def _ping_redis(stores: Stores) -> None:
    await stores.redis.get(keys.access_token("readiness"))


async def _up(check: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            await check
    except (RedisError, WarehouseAway, TimeoutError, OSError):
        return "unreachable"
    return "ok"
