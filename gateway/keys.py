"""API keys and instances, from the control plane's projections in Redis.

Cached in process. A change is pushed on `KEY_CHANGED_CHANNEL` and forgets the key at once; the TTL is the
backstop for a push that was lost. Unknown keys are remembered too, so that a flood of them stays cheap.

While Redis is away nobody hears of a revoked key. An instance whose plan fails open is then still known from
the cache, for a bounded time; every other one is refused.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.errors import InstanceInactive, InvalidApiKey, LimitsUnavailable
from kit import api_keys
from kit.clock import Clock
from kit.redis_client import get_bytes
from metering.price_schedule import PriceSchedule, version_at
from metering.prices import PriceBook
from schemas import keys
from schemas.directory import ApiKeyRecord, InstanceRecord, RunLease
from schemas.events import RunEvent
from schemas.partitioning import partition_of

log = logging.getLogger(__name__)

_MAX_CACHED = 50_000
_MAX_BOOKS = 256
_FOR_EVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is: a valid key, its active instance, and how its runs are priced."""

    key: ApiKeyRecord
    instance: InstanceRecord
    book: PriceBook
    partition: int
    #: Of a widget session, the visitor.
    visitor: str = ""

    def may_see(self, run: RunLease | RunEvent, visitor: str) -> bool:
        """Return whether that run is the caller's to look at: what a widget's key opens is in a page for all
        to read, so a visitor sees the visitor's own runs only."""
        if run.instance_id != self.instance.instance_id:
            return False
        return self.key.kind != "widget" or (run.key_id, visitor) == (self.key.key_id, self.visitor)


@dataclass(frozen=True, slots=True)
class _Cached:
    caller: Caller | None
    loaded_ms: int
    generation: int
    #: When the tenant's prices change next; what is cached then names the wrong ones.
    priced_until_ms: int


class KeyDirectory:
    """Resolves API keys. Raises the gateway's errors."""

    def __init__(self, redis: Redis, partitions: int, ttl_ms: int, stale_ttl_ms: int, clock: Clock) -> None:
        self._redis = redis
        self._partitions = partitions
        self._ttl_ms = ttl_ms
        self._stale_ttl_ms = stale_ttl_ms
        self._clock = clock
        self._cache: dict[str, _Cached] = {}
        #: Grows when changes may have been missed: what was cached before has to be looked up again.
        self._generation = 0
        self._changes = 0
        self._books: dict[str, PriceBook] = {}

    async def resolve(self, key: str) -> Caller:
        """Return who calls with `key`. Raises `InvalidApiKey`, `InstanceInactive`, `LimitsUnavailable`."""
        if not api_keys.is_well_formed(key):
            raise InvalidApiKey("send one of the instance's keys in the X-API-Key header")
        return await self.resolve_digest(api_keys.digest(key))

    async def resolve_digest(self, digest: str) -> Caller:
        """Return who calls with the key of that digest, as `resolve` does."""
        cached = self._cache.get(digest)
        if cached is None or not self._is_fresh(cached):
            try:
                cached = await self._refresh(digest)
            except RedisError as error:
                if cached is None or not self._may_be_stale(cached):
                    log.warning("Redis is away", extra={"error": repr(error)})
                    raise LimitsUnavailable(headers={"Retry-After": "2"}) from None
        return self._checked(cached.caller)

    def _is_fresh(self, cached: _Cached) -> bool:
        until_ms = min(cached.loaded_ms + self._ttl_ms, cached.priced_until_ms)
        return cached.generation == self._generation and self._clock() < until_ms

    def _may_be_stale(self, cached: _Cached) -> bool:
        fails_open = cached.caller is not None and cached.caller.instance.limits.fail_open
        return fails_open and self._clock() < cached.loaded_ms + self._stale_ttl_ms

    async def _refresh(self, digest: str) -> _Cached:
        # As of before the look-up: pushes that are missed while it runs make it old.
        now, generation, changes = self._clock(), self._generation, self._changes
        caller, priced_until_ms = await self._load(digest, now)
        cached = _Cached(caller, now, generation, priced_until_ms)
        if changes != self._changes:
            return cached  # what was read may be what has just been forgotten
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[digest] = cached
        return cached

    def _checked(self, caller: Caller | None) -> Caller:
        if caller is None or caller.key.revoked:
            raise InvalidApiKey("use a key that the console lists as active")
        if caller.key.expires_at_ms and caller.key.expires_at_ms <= self._clock():
            raise InvalidApiKey("the key has expired; create a new one in the console")
        if caller.instance.status != "active":
            raise InstanceInactive(f"the instance is {caller.instance.status}")
        return caller

    async def _load(self, digest: str, now: int) -> tuple[Caller | None, int]:
        """Return whose key it is, and until when that holds."""
        blob = await get_bytes(self._redis, keys.api_key(digest))
        if blob is None:
            return None, _FOR_EVER
        key = msgspec.json.decode(blob, type=ApiKeyRecord)
        blob = await get_bytes(self._redis, keys.instance(key.instance_id))
        if blob is None:
            return None, _FOR_EVER
        instance = msgspec.json.decode(blob, type=InstanceRecord)
        book, until_ms = await self._book(key.tenant_id, now)
        return Caller(key, instance, book, partition_of(key.org_id, self._partitions)), until_ms

    async def _book(self, tenant_id: str, now: int) -> tuple[PriceBook, int]:
        schedule = await self._schedule(tenant_id)
        version = version_at(schedule, now)
        if version is None:
            raise LimitsUnavailable("the tenant has no prices yet", headers={"Retry-After": "2"})
        known = self._books.get(version) or await self._load_book(version)
        coming = (entry.effective_from_ms for entry in schedule.entries)
        return known, next((at for at in coming if at > now), _FOR_EVER)

    async def schedule(self, tenant_id: str) -> PriceSchedule:
        """Return a tenant's prices by when they are in force. Raises `LimitsUnavailable`."""
        try:
            return await self._schedule(tenant_id)
        except RedisError as error:
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error

    async def book(self, version: str) -> PriceBook:
        """Return a price book. Raises `LimitsUnavailable`."""
        try:
            return self._books.get(version) or await self._load_book(version)
        except RedisError as error:
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error

    async def _schedule(self, tenant_id: str) -> PriceSchedule:
        blob = await get_bytes(self._redis, keys.price_schedule(tenant_id))
        return msgspec.json.decode(blob, type=PriceSchedule) if blob else PriceSchedule()

    async def _load_book(self, version: str) -> PriceBook:
        blob = await get_bytes(self._redis, keys.price_book(version))
        if blob is None:
            raise LimitsUnavailable("the tenant's price book is missing", headers={"Retry-After": "2"})
        if len(self._books) >= _MAX_BOOKS:
            self._books.clear()
        book = self._books[version] = msgspec.json.decode(blob, type=PriceBook)
        return book

    async def listen(self) -> None:
        """Forget keys as they change, for ever."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(keys.KEY_CHANGED_CHANNEL)
                    # What changed before the subscription was missed.
                    self._generation += 1
                    while True:
                        message = await pubsub.get_message(timeout=1.0)
                        if message is not None:
                            self._forget(message["data"].decode())
            except RedisError as error:
                self._generation += 1
                log.warning("key changes are not heard", extra={"error": repr(error)})
                await asyncio.sleep(0.5)

    def _forget(self, digest: str) -> None:
        # Not only old but wrong: not even a Redis that is away makes it valid again.
        self._changes += 1
        self._cache.pop(digest, None)
