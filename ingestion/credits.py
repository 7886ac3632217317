"""What an instance may spend: what a gateway looks at before it admits a run, looked at for a source.

Nothing is held: sources that are read at the same time see the same credits, and what they cost together may
leave a debt of at most the others' prices.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from redis.asyncio import Redis

from metering.settling import changes_of
from metering.windows import start_of
from schemas import keys
from schemas.directory import InstanceRecord


class Payable(Struct, frozen=True):
    """Micro-credits that may be spent, below zero in debt, and which limit says so."""

    micro: int
    limit: Literal["wallet", "cap"]


async def payable(
    redis: Redis, partition: int, instance: InstanceRecord, *, started_at_ms: int, now_ms: int
) -> Payable:
    """Return what a run of the instance that started then may cost. Raises `RedisError`."""
    instance_id, limits = instance.instance_id, instance.limits
    pipeline = redis.pipeline(transaction=True)
    pipeline.hmget(keys.wallet(partition, instance.org_id), ["balance", "schedule", "held"])
    pipeline.hget(keys.held_by_instance(partition, instance.org_id), instance_id)
    for window in ("day", "month"):
        key = keys.counter(partition, instance_id, window, start_of(window, started_at_ms))
        pipeline.hget(key, "charged")
    (balance, schedule, held), held_here, day, month = await pipeline.execute()
    due = sum(delta for at_ms, delta in changes_of(schedule) if at_ms <= now_ms)
    overage = limits.overage_micro if limits.soft else 0
    least = Payable(int(balance or 0) + due - int(held or 0) + overage, "wallet")
    for cap, charged in ((limits.daily_cap_micro, day), (limits.monthly_cap_micro, month)):
        left = cap - int(charged or 0) - int(held_here or 0)
        if cap and left < least.micro:
            least = Payable(left, "cap")
    return least
