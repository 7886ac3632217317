"""Live counters of one instance, in one pipelined and consistent read."""

from __future__ import annotations

from collections.abc import Sequence

from console_api.counters import FIELDS, vector, wallet
from console_api.live.models import Reading, WindowKey
from console_api.stores import Stores
from schemas import keys
from schemas.directory import InstanceRecord


async def read(stores: Stores, instance: InstanceRecord, windows: Sequence[WindowKey]) -> Reading:
    """Return totals, wallet and the windows asked for. Raises `RedisError`.

    A transaction, because the workers apply a batch atomically: totals and windows of one reading agree,
    which `service` relies on to tell whether an older window changed.
    """
    org_id, instance_id = instance.org_id, instance.instance_id
    partition = stores.partition(org_id)
    pipeline = stores.redis.pipeline(transaction=True)
    pipeline.hmget(keys.counter(partition, instance_id), FIELDS)
    pipeline.hgetall(keys.wallet(partition, org_id))
    pipeline.hvals(keys.holds(partition, org_id))
    for window, start_ms in windows:
        pipeline.hmget(keys.counter(partition, instance_id, window, start_ms), FIELDS)
    totals, fields, holds, *counters = await pipeline.execute()
    return Reading(
        totals=vector(totals),
        wallet=wallet(fields, holds, stores.clock()),
        windows={key: vector(values) for key, values in zip(windows, counters, strict=True)},
    )
