"""Pages that tried a widget's key without being named by it, as gateways count them."""

from __future__ import annotations

from collections import Counter

from console_api.database.tables import ApiKey
from console_api.keys.models import BlockedOrigin, BlockedOrigins
from console_api.stores import Stores
from metering.windows import WIDTH_MS, start_of
from schemas import keys

_DAYS = 7


async def read(stores: Stores, key: ApiKey) -> BlockedOrigins:
    """Return what was refused in the last days. Raises `RedisError`."""
    today = start_of("day", stores.clock())
    pipeline = stores.redis.pipeline(transaction=False)
    for ago in range(_DAYS):
        day = today - ago * WIDTH_MS["day"]
        pipeline.hgetall(keys.widget_blocked(stores.partition(key.org_id), key.key_id, day))
    tries: Counter[str] = Counter()
    for counted in await pipeline.execute():
        for origin, count in counted.items():
            tries[origin.decode()] += int(count)
    return BlockedOrigins(
        origins=[BlockedOrigin(origin=origin, tries=count) for origin, count in tries.most_common()]
    )
