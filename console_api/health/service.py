"""Is this process up, and can it reach what it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from console_api.control.plane import ControlPlane
from console_api.stores import Stores
from console_api.warehouse import WarehouseAway
from schemas import keys

_CHECK_TIMEOUT_S = 3.0


async def checks(stores: Stores, plane: ControlPlane | None) -> dict[str, str]:
    """Return each store as `ok` or `unreachable`, within three seconds; the database where there is one."""
    pings = {"redis": _ping_redis(stores), "clickhouse": stores.warehouse.ping()}
    if plane is not None:
        pings["database"] = _ping_database(plane)
    return dict(zip(pings, await asyncio.gather(*map(_up, pings.values())), strict=True))


async def _ping_redis(stores: Stores) -> None:
    await stores.redis.get(keys.access_token("readiness"))


async def _ping_database(plane: ControlPlane) -> None:
    # Without its schema it answers nothing, either.
    await plane.ready.wait()
    async with plane.database.reading() as session:
        await session.execute(select(1))


async def _up(check: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            await check
    except (RedisError, WarehouseAway, SQLAlchemyError, TimeoutError, OSError):
        return "unreachable"
    return "ok"
