"""The admission scripts in a real Redis, with a clock the test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from redis.asyncio import Redis

from gateway.admission import Addition, Admission, AdmissionControl, NotExtended
from gateway.keys import Caller
from gateway.quotes import Quote
from kit import clock
from kit.settings import GatewaySettings
from metering.prices import PriceBook, Rates
from metering.windows import start_of
from schemas import keys
from schemas.directory import ApiKeyRecord, InstanceRecord, Limits, RunLease

PARTITION = 5
_RATES = Rates(input=1_000_000, cache_read=0, cache_write=0, output=1_000_000, reasoning=1_000_000)
#: A micro-credit a token: holds are easy to read.
BOOK = PriceBook(version="v1", models={"model": _RATES}, default=_RATES)
#: 2026-01-31 12:00 UTC, a month's last day.
NOON_MS = 1_769_860_800_000


def hold(wanted: int, minimum: int | None = None, *, tokens: int = 0, **usual: int) -> Quote:
    """Return a quote whose output costs a micro-credit a token, after `tokens` of free input."""
    least = wanted if minimum is None else minimum
    return Quote(tokens, least, wanted, least, wanted, usual.get("typical"), usual.get("tight"))


@dataclass
class Wicket:
    """One org with one instance, asking to be let in."""

    redis: Redis
    limits: Limits = field(default_factory=Limits)
    org_id: str = field(default_factory=lambda: clock.new_id("org"))
    now_ms: int = NOON_MS

    def __post_init__(self) -> None:
        instance_id = clock.new_id("inst")
        owner = {"tenant_id": "tenant_1", "org_id": self.org_id, "instance_id": instance_id}
        self.instance = InstanceRecord(
            name="Agent",
            status="active",
            default_model="model",
            models=("model",),
            limits=self.limits,
            **owner,
        )
        self.key = ApiKeyRecord(key_id="key_1", kind="secret", **owner)
        self.control = AdmissionControl(self.redis, GatewaySettings(), lambda: self.now_ms)

    @property
    def caller(self) -> Caller:
        return Caller(self.key, msgspec.structs.replace(self.instance, limits=self.limits), BOOK, PARTITION)

    def lease(self, run_id: str = "") -> RunLease:
        return RunLease(
            tenant_id="tenant_1",
            org_id=self.org_id,
            instance_id=self.instance.instance_id,
            run_id=run_id or clock.new_id("run"),
            channel="api",
            key_id="key_1",
            price_version="v1",
            started_at_ms=self.now_ms,
            model="model",
            streamed=False,
        )

    async def admit(self, quote: Quote, *, key: str = "", body: bytes = b"") -> Admission:
        return await self.control.admit(self.caller, self.lease(), quote, key, body)

    async def extend(
        self, run_id: str, minimum: int, wanted: int, typical: int | None = None
    ) -> int | NotExtended:
        addition = Addition(minimum, wanted, typical)
        return await self.control.extend(self.caller, self.lease(run_id), addition)

    async def wallet(self, **fields: Any) -> None:
        await self.redis.hset(keys.wallet(PARTITION, self.org_id), mapping=fields)

    async def charged(self, window: Any, micro: int) -> None:
        """The metering worker charged runs that started in the window of now."""
        start = start_of(window, self.now_ms)
        key = keys.counter(PARTITION, self.instance.instance_id, window, start)
        await self.redis.hset(key, "charged", str(micro))

    async def settle(self, run_id: str, micro: int) -> None:
        """Charge a run and close it, as the metering worker does."""
        held = int(await self.redis.hget(keys.holds(PARTITION, self.org_id), run_id) or 0)
        await self.redis.hdel(keys.holds(PARTITION, self.org_id), run_id)
        await self.redis.hincrby(keys.wallet(PARTITION, self.org_id), "held", -held)
        await self.redis.hincrby(keys.wallet(PARTITION, self.org_id), "balance", -micro)
        by_instance = keys.held_by_instance(PARTITION, self.org_id)
        await self.redis.hincrby(by_instance, self.instance.instance_id, -held)
        await self.redis.srem(keys.running(PARTITION, self.instance.instance_id), run_id)
        await self.redis.zrem(keys.leases(PARTITION), run_id)

    async def held(self) -> int:
        """Return what is held, which every place that says so agrees on."""
        holds = await self.redis.hgetall(keys.holds(PARTITION, self.org_id))
        total = sum(map(int, holds.values()))
        assert int(await self.redis.hget(keys.wallet(PARTITION, self.org_id), "held") or 0) == total
        by_instance = await self.redis.hgetall(keys.held_by_instance(PARTITION, self.org_id))
        assert sum(map(int, by_instance.values())) == total
        running = await self.redis.smembers(keys.running(PARTITION, self.instance.instance_id))
        assert running == set(holds)
        return total
