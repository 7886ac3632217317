"""Does what time alone calls for: closes runs whose owner died, and lets credits expire.

A run counts as abandoned when its lease ran out: nobody renewed it. If its gateway came as far as to keep an
answer, the closing event kept with it is published. Otherwise the run is closed as `lost`, with what was
metered so far; a real closing event that comes late outranks it, and the charge is settled by the difference.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit import redis_client
from kit.clock import Clock
from kit.publisher import Publisher
from kit.redis_client import get_bytes
from kit.spool import SpoolFull
from metering.closing import run_event
from metering.metered import MeteredRun
from metering.settling import StoredWallet
from metering.totals import COUNTERS
from schemas import keys, topics
from schemas.directory import KeptClosing, RunLease
from schemas.events import GrantEvent, RunEvent
from streams.relay import metrics

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_AT_ONCE = 200
#: How long gateways have to renew their leases once Redis is back. They do so at a third of a lease (5 s).
_GRACE_S = 15.0
#: How long the metering worker has to apply a `lost` event before it is published again.
_AGAIN_MS = 30_000


class Reaper:
    """Looks for expired leases in every partition."""

    def __init__(self, redis: Redis, publisher: Publisher, partitions: int, clock: Clock) -> None:
        self._redis = redis
        self._publisher = publisher
        self._partitions = partitions
        self._clock = clock
        self._met_redis = False
        self.reaped = 0

    async def run(self) -> None:
        """Reap for ever, but not before gateways could renew their leases where Redis had been away."""
        reap_from: float | None = None
        while True:
            try:
                if reap_from is None:
                    reap_from = time.monotonic() + await self._grace_s()
                for partition in range(self._partitions):
                    if time.monotonic() >= reap_from:
                        await self.reap(partition)
                    await self.expire(partition)
                await self._measure()
            except RedisError as error:
                reap_from = None
                log.warning("reaper waits", extra={"error": repr(error)})
            except SpoolFull as error:
                log.warning("reaper waits", extra={"error": repr(error)})
            await asyncio.sleep(_EVERY_S)

    async def _grace_s(self) -> float:
        """Return how long leases that ran out may be those of living gateways.

        After an outage of its own this relay cannot tell for how long Redis was away from others. When it
        starts Redis can: where it has been up for long enough, leases were renewed.
        """
        if self._met_redis:
            return _GRACE_S
        info = await self._redis.info("server")
        self._met_redis = True
        return max(0.0, _GRACE_S - redis_client.up_s(info))

    async def _measure(self) -> None:
        open_runs = waiting = 0
        for partition in range(self._partitions):
            open_runs += await self._redis.zcard(keys.leases(partition))
            waiting += await self._redis.xlen(keys.outbox(partition))
        metrics.OPEN_RUNS.set(open_runs)
        metrics.OUTBOX.set(waiting)

    async def reap(self, partition: int) -> int:
        """Close a partition's expired runs; return how many."""
        now = self._clock()
        due: list[Any] = await self._redis.zrangebyscore(
            keys.leases(partition), "-inf", now, start=0, num=_AT_ONCE
        )
        for raw in due:
            run_id = raw.decode()
            await self._close(partition, run_id, now)
            await self._redis.zadd(keys.leases(partition), {run_id: now + _AGAIN_MS}, xx=True)
        return len(due)

    async def expire(self, partition: int) -> int:
        """Let time pass for wallets in which credits expired or became effective; return how many.

        Admission knows already (the wallet's schedule); this is for the ledger, and for those who look.
        """
        now = self._clock()
        due: list[Any] = await self._redis.zrangebyscore(
            keys.wallets_due(partition), "-inf", now, start=0, num=_AT_ONCE
        )
        for raw in due:
            org_id = raw.decode()
            blob = await get_bytes(self._redis, keys.wallet_state(partition, org_id))
            if blob is None:
                await self._redis.zrem(keys.wallets_due(partition), org_id)
                continue
            tenant_id = msgspec.msgpack.decode(blob, type=StoredWallet).tenant_id
            await self._publisher.publish(topics.GRANTS, org_id, expire_command(tenant_id, org_id, now))
            await self._redis.zadd(keys.wallets_due(partition), {org_id: now + _AGAIN_MS}, xx=True)
        return len(due)

    async def _close(self, partition: int, run_id: str, now: int) -> None:
        blob = await get_bytes(self._redis, keys.lease(partition, run_id))
        if blob is None:
            # Closed in between.
            await self._redis.zrem(keys.leases(partition), run_id)
            return
        lease = msgspec.json.decode(blob, type=RunLease)
        kept = await get_bytes(self._redis, keys.answer(partition, run_id))
        if kept is not None:
            closing = msgspec.json.decode(kept, type=KeptClosing).closing
        else:
            stored = await get_bytes(self._redis, keys.run(partition, run_id))
            closing = _lost(lease, stored, now)
        await self._publisher.publish(topics.RUNS, lease.org_id, closing)
        self.reaped += 1
        metrics.REAPED.inc()
        log.warning("closed a run whose gateway went away", extra={"run_id": run_id, "as": closing.status})


def expire_command(tenant_id: str, org_id: str, now: int) -> GrantEvent:
    """Return what makes the metering worker let time pass for a wallet."""
    return GrantEvent(
        grant_id=org_id,
        tenant_id=tenant_id,
        org_id=org_id,
        kind="correction",
        amount_micro=0,
        occurred_at_ms=now,
        action="expire",
    )


def _lost(lease: RunLease, stored: bytes | None, now: int) -> RunEvent:
    totals = dict.fromkeys(COUNTERS, 0)
    if stored is not None:
        run = msgspec.msgpack.decode(stored, type=MeteredRun)
        totals = dict(zip(COUNTERS, run.totals, strict=True))
    return run_event(lease, "lost", now, totals, error_code="owner_lost")
