"""Wallets, their buckets and holds, from Redis."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from console_api.counters import Wallet, changes, wallet
from console_api.stores import Stores
from console_api.wallet.models import Reading
from metering import wallet as transitions
from metering.settling import StoredWallet
from schemas import keys

_decode_state = msgspec.msgpack.Decoder(StoredWallet).decode


async def read(stores: Stores, org_id: str) -> Wallet:
    """Return the org's wallet with its holds, in one round trip. Raises `RedisError`."""
    partition = stores.partition(org_id)
    # A transaction: a run that settles between two reads would be counted as held and charged.
    pipeline = stores.redis.pipeline(transaction=True)
    pipeline.hgetall(keys.wallet(partition, org_id))
    pipeline.hvals(keys.holds(partition, org_id))
    fields, holds = await pipeline.execute()
    return wallet(fields, holds, stores.clock())


async def available(stores: Stores, org_id: str) -> int:
    """Return what new runs of the org may spend, in micro-credits. Raises `RedisError`."""
    return (await read(stores, org_id)).available


async def has_grants(stores: Stores, org_id: str, grant_ids: Sequence[str]) -> bool:
    """Return whether all these grants were applied to the org's wallet. Raises `RedisError`."""
    key = keys.wallet_grants(stores.partition(org_id), org_id)
    return all(await stores.redis.smismember(key, list(grant_ids)))


async def reading(stores: Stores, tenant_id: str, org_id: str) -> Reading:
    """Return all there is of the org's wallet, in one transaction. Raises `RedisError`.

    A wallet of another tenant's org of that name is none of the caller's: it reads as empty.
    """
    partition = stores.partition(org_id)
    pipeline = stores.redis.pipeline(transaction=True)
    pipeline.hgetall(keys.wallet(partition, org_id))
    pipeline.hvals(keys.holds(partition, org_id))
    pipeline.get(keys.wallet_state(partition, org_id))
    fields, holds, blob = await pipeline.execute()
    now = stores.clock()
    state = _decode_state(blob) if blob else StoredWallet(tenant_id)
    if state.tenant_id != tenant_id:
        return Reading()
    # The worker writes down what time does some moments later; until then it is worked out as it will.
    current, _ = transitions.advance(state.wallet, now)
    return Reading(
        credits=wallet(fields, holds, now),
        expired=int(fields.get(b"expired", 0)),
        overdue=current.expired_micro - state.wallet.expired_micro,
        voided=int(fields.get(b"voided", 0)),
        refunded=int(fields.get(b"refunded", 0)),
        version=int(fields.get(b"version", 0)),
        period_start_ms=state.period_start_ms,
        buckets=current.buckets,
        upcoming=tuple(change for change in changes(fields) if change[0] > now),
    )
