"""Where workers' effects stand: fences in Redis, and the tenant's newest row of history."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import TopicPartition

from console_api import sql
from console_api.stores import Stores
from console_api.warehouse import WarehouseAway
from kit.redis_client import get_bytes
from schemas import keys
from schemas.topics import Topic

_NEWEST = sql.read(__file__, "newest")


async def fences(stores: Stores, topics: Iterable[Topic]) -> dict[TopicPartition, int]:
    """Return the fences that there are. Raises `RedisError`."""
    places = [TopicPartition(topic.name, p) for topic in topics for p in range(stores.partitions)]
    found = await asyncio.gather(
        *(get_bytes(stores.redis, keys.fence(place.partition, place.topic)) for place in places)
    )
    return {place: int(fence) for place, fence in zip(places, found, strict=True) if fence is not None}


async def newest_ms(stores: Stores, tenant_id: str) -> int | None:
    """Return when a tenant's newest run was recorded, 0 without runs, `None` while ClickHouse is away."""
    try:
        (row,) = await stores.warehouse.rows(_NEWEST, {"tenant_id": tenant_id})
    except WarehouseAway:
        return None
    return int(row["recorded_at_ms"]) if row["found"] else 0
