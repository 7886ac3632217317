"""Thresholds of instances' daily and monthly caps, told once each (topic `credits.limits`).

What a cap leaves is decided at admission, from the same counters; this is for alerts. It looks when the
ledger says that an instance was charged, before that is forgotten, so a crash only looks again: an event has
the same id then, and the mark that it was told is set after it was published.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from kit.redis_client import get_bytes
from metering.settling import THRESHOLDS_PERMILLE
from metering.totals import CHARGED, COUNTERS
from metering.windows import KEPT_S, Window, start_of
from schemas import keys
from schemas.directory import InstanceRecord
from schemas.events import LedgerEntry, LimitEvent, LimitScope

_CHARGED = COUNTERS[CHARGED]
#: How long an instance's caps are remembered, and of how many.
_REMEMBERED_S = 5.0
_MAX_REMEMBERED = 20_000

_decoder = msgspec.json.Decoder(InstanceRecord)


class _Period(Struct, frozen=True):
    instance_id: str
    window: Window
    start_ms: int


class _Capped(Struct, frozen=True):
    period: _Period
    record: InstanceRecord
    micro: int


class CapWatch:
    """Finds the thresholds that charges have crossed."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[str, tuple[float, InstanceRecord | None]] = {}

    async def crossed(self, partition: int, entries: Iterable[LedgerEntry], now_ms: int) -> list[LimitEvent]:
        """Return the thresholds crossed and not told yet. Raises `RedisError`."""
        periods = {
            _Period(entry.run.instance_id, window, start_of(window, entry.occurred_at_ms))
            for entry in entries
            if entry.run is not None and entry.kind == "usage"
            for window in ("day", "month")
        }
        capped = [one for period in periods if (one := await self._capped(period)) is not None]
        if not capped:
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            for one in capped:
                of = (partition, one.record.instance_id, one.period.window, one.period.start_ms)
                pipe.hget(keys.counter(*of), _CHARGED)
                pipe.smembers(keys.limits_told(*of))
            found: list[Any] = await pipe.execute()
        events: list[LimitEvent] = []
        for one, used, told in zip(capped, found[::2], found[1::2], strict=True):
            events += _events(one, int(used or 0), told, now_ms)
        return events

    async def told(self, partition: int, events: Sequence[LimitEvent]) -> None:
        """Remember that these were published. Raises `RedisError`."""
        if not events:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for event in events:
                window: Window = "day" if event.scope == "instance_day" else "month"
                key = keys.limits_told(partition, event.instance_id, window, event.period_start_ms)
                pipe.sadd(key, _mark(event.limit_micro, event.used_permille))
                pipe.expire(key, KEPT_S[window])
            await pipe.execute()

    async def _capped(self, period: _Period) -> _Capped | None:
        record = await self._record(period.instance_id)
        if record is None:
            return None
        limits = record.limits
        cap = limits.daily_cap_micro if period.window == "day" else limits.monthly_cap_micro
        return _Capped(period, record, cap) if cap else None

    async def _record(self, instance_id: str) -> InstanceRecord | None:
        now = time.monotonic()
        until, record = self._known.get(instance_id, (0.0, None))
        if now < until:
            return record
        blob = await get_bytes(self._redis, keys.instance(instance_id))
        record = _decoder.decode(blob) if blob else None
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[instance_id] = (now + _REMEMBERED_S, record)
        return record


def _events(cap: _Capped, used: int, told: set[bytes], now_ms: int) -> list[LimitEvent]:
    period, record = cap.period, cap.record
    scope = cast(LimitScope, f"instance_{period.window}")
    return [
        LimitEvent(
            event_id=f"{record.instance_id}:{scope}:{period.start_ms}:{cap.micro}:{permille}",
            tenant_id=record.tenant_id,
            org_id=record.org_id,
            instance_id=record.instance_id,
            scope=scope,
            used_permille=permille,
            used_micro=used,
            limit_micro=cap.micro,
            period_start_ms=period.start_ms,
            occurred_at_ms=now_ms,
        )
        for permille in THRESHOLDS_PERMILLE
        if used * 1_000 >= cap.micro * permille and _mark(cap.micro, permille).encode() not in told
    ]


def _mark(cap: int, permille: int) -> str:
    """Return what is remembered of a threshold: of another cap it is another one."""
    return f"{cap}:{permille}"
