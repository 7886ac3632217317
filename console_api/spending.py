"""What instances were charged, by window, from the live counters: no history is asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from console_api.stores import Stores
from metering.totals import CHARGED, COUNTERS
from metering.windows import Window
from schemas import keys

_CHARGED = COUNTERS[CHARGED]
#: Reads that share a round trip.
_CHUNK = 2_000


async def of_instances(
    stores: Stores, org_id: str, instance_ids: Sequence[str], window: Window, starts: Sequence[int]
) -> list[list[int]]:
    """Return, for each instance, the micro-credits of each window that starts then. Raises `RedisError`.

    A window that is not counted (any more) is 0: `metering.windows.KEPT_S` says how long they are kept.
    """
    partition = stores.partition(org_id)
    wanted = [
        keys.counter(partition, instance_id, window, start)
        for instance_id in instance_ids
        for start in starts
    ]
    found: list[int] = []
    for first in range(0, len(wanted), _CHUNK):
        pipeline = stores.redis.pipeline(transaction=False)
        for key in wanted[first : first + _CHUNK]:
            pipeline.hget(key, _CHARGED)
        found += [int(value or 0) for value in await pipeline.execute()]
    width = len(starts)
    return [found[at * width : (at + 1) * width] for at in range(len(instance_ids))]
