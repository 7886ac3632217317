"""Wallets and holds, from Redis."""

from __future__ import annotations

from console_api.counters import Wallet, wallet
from console_api.stores import Stores
from schemas import keys


async def read(stores: Stores, org_id: str) -> Wallet:
    """Return the org's wallet with its holds, in one round trip. Raises `RedisError`."""
    partition = stores.partition(org_id)
    # A transaction: a run that settles between two reads would be counted as held and charged.
    pipeline = stores.redis.pipeline(transaction=True)
    pipeline.hgetall(keys.wallet(partition, org_id))
    pipeline.hvals(keys.holds(partition, org_id))
    fields, holds = await pipeline.execute()
    return wallet(fields, holds)
