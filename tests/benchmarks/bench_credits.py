"""What credits are worth: overspend, false refusals, lost usage, enforcement lag; what admission costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import psutil
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from gateway.admission import AdmissionControl
from gateway.keys import Caller
from gateway.quotes import quote
from kit import api_keys, clickhouse_client, clock, redis_client
from kit.settings import ClickHouseSettings, GatewaySettings, KafkaSettings, RedisSettings
from metering.price_schedule import PriceSchedule
from metering.prices import PriceBook
from schemas import keys, topics
from schemas.directory import ApiKeyRecord, InstanceRecord, RunLease
from schemas.events import GrantEvent, encode
from schemas.partitioning import partition_of

_PARTITIONS = KafkaSettings().partitions
_ADMISSIONS_PER_S, _ADMISSION_SECONDS = 1_000, 8
_PAYABLE, _BURST = 10, 100
_ENOUGH = 10_000_000_000
_QUESTION = "Explain the refund policy for subscriptions [[fault:length:60]]"
_LONG = "Tell me everything [[fault:length:400]]"


@dataclass(frozen=True)
class Burst:
    """What became of many calls at once on a wallet that pays for a few."""

    served: int
    overspent_permille: int
    false_refusals_permille: int


class Market:
    """A stack, and organisations made on it as the control plane would."""

    def __init__(self, stack: dict[str, Any], redis: Redis, producer: AIOKafkaProducer) -> None:
        self.stack = stack
        self.redis = redis
        self._producer = producer

    async def customer(self) -> Customer:
        org_id, minted = clock.new_id("org"), api_keys.mint("sk")
        instance = InstanceRecord(
            instance_id=clock.new_id("inst"),
            tenant_id=self.stack["demo"]["tenant_id"],
            org_id=org_id,
            name="Bench",
            status="active",
            default_model="gpt-4o-mini",
            models=("gpt-4o-mini",),
            max_output_tokens=16_384,
        )
        record = ApiKeyRecord(
            key_id=minted.key_id,
            kind="secret",
            tenant_id=instance.tenant_id,
            org_id=org_id,
            instance_id=instance.instance_id,
        )
        await self.redis.set(keys.instance(instance.instance_id), msgspec.json.encode(instance))
        await self.redis.set(keys.api_key(minted.digest), msgspec.json.encode(record))
        return Customer(self, org_id, minted.key)

    async def command(self, org_id: str, action: str, grant_id: str, amount: int = 0) -> float:
        """Send a command to a wallet; return when Kafka had it."""
        event = GrantEvent(
            grant_id=grant_id,
            tenant_id=self.stack["demo"]["tenant_id"],
            org_id=org_id,
            kind="purchase",
            amount_micro=amount,
            occurred_at_ms=clock.now_ms(),
            action=action,  # type: ignore[arg-type]
            command_id="" if action == "issue" else clock.new_id("command"),
        )
        partition = partition_of(org_id, _PARTITIONS)
        await self._producer.send_and_wait(
            topics.GRANTS.name, encode(event), key=org_id.encode(), partition=partition
        )
        return time.perf_counter()


class Customer:
    """An organisation with one instance and its key."""

    def __init__(self, market: Market, org_id: str, key: str) -> None:
        self._market = market
        self.org_id = org_id
        self.headers = {"X-API-Key": key}
        self.url = f"{market.stack['gateway_url']}/v1/runs"

    async def wallet(self) -> dict[str, int]:
        fields = await self._market.redis.hgetall(
            keys.wallet(partition_of(self.org_id, _PARTITIONS), self.org_id)
        )
        return {name.decode(): int(value) for name, value in fields.items() if name != b"schedule"}

    async def credit(self, amount: int) -> str:
        """Give credits and wait until they are in; return the grant's id."""
        grant = clock.new_id("grant")
        await self._market.command(self.org_id, "issue", grant, amount)

        async def credited() -> bool:
            return (await self.wallet()).get("granted", 0) == amount

        await _until(credited)
        return grant

    async def settled(self) -> dict[str, int]:
        """Wait until nothing is held any more; return the wallet."""

        async def quiet() -> bool:
            return (await self.wallet()).get("held", 0) == 0

        await _until(quiet)
        return await self.wallet()


@contextlib.asynccontextmanager
async def market_of(stack: dict[str, Any]) -> AsyncIterator[Market]:
    redis = redis_client.connect(RedisSettings(url=stack["redis_url"]))
    producer = AIOKafkaProducer(bootstrap_servers=stack["kafka_bootstrap"], acks="all")
    await producer.start()
    try:
        yield Market(stack, redis, producer)
    finally:
        await producer.stop()
        await redis.aclose()


async def _until(condition: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - other processes make it so
            await asyncio.sleep(0.02)


async def admission(market: Market) -> list[float]:
    """Return how long each admission took, in milliseconds, at a steady rate on this one core."""
    demo, redis = market.stack["demo"], market.redis
    blob = await redis.get(keys.instance(demo["instance_id"]))
    instance = msgspec.json.decode(blob, type=InstanceRecord)
    blob = await redis.get(keys.price_schedule(demo["tenant_id"]))
    version = msgspec.json.decode(blob, type=PriceSchedule).entries[-1].version
    book = msgspec.json.decode(await redis.get(keys.price_book(version)), type=PriceBook)
    org_id = clock.new_id("org")
    partition = partition_of(org_id, _PARTITIONS)
    await redis.hset(keys.wallet(partition, org_id), "balance", 1_000 * _ENOUGH)
    key = ApiKeyRecord(
        key_id="k",
        kind="secret",
        tenant_id=demo["tenant_id"],
        org_id=org_id,
        instance_id=instance.instance_id,
    )
    caller = Caller(key, instance, book, partition)
    control = AdmissionControl(redis, GatewaySettings(), clock.now_ms)
    asked = quote(book, "gpt-4o-mini", 200, 400, cap_output=True, p99=None)
    took: list[float] = []

    async def admit() -> None:
        lease = RunLease(
            tenant_id=key.tenant_id,
            org_id=org_id,
            instance_id=instance.instance_id,
            run_id=clock.new_id("run"),
            channel="api",
            key_id="k",
            price_version=version,
            started_at_ms=clock.now_ms(),
            model="gpt-4o-mini",
            streamed=False,
        )
        began = time.perf_counter()
        await control.admit(caller, lease, asked, "", b"{}")
        took.append((time.perf_counter() - began) * 1000)

    began, sent = time.perf_counter(), 0
    async with asyncio.TaskGroup() as tasks:
        while sent < _ADMISSIONS_PER_S * _ADMISSION_SECONDS:
            if sent <= (time.perf_counter() - began) * _ADMISSIONS_PER_S:
                tasks.create_task(admit())
                sent += 1
            await asyncio.sleep(0)
    await redis.delete(keys.wallet(partition, org_id), keys.holds(partition, org_id), keys.leases(partition))
    return took


async def burst(market: Market, too_large: int) -> Burst:
    """Send many calls at once, with `max_tokens` so many times what the answer needs."""
    customer = await market.customer()
    grant = await customer.credit(_ENOUGH)
    async with aiohttp.ClientSession(headers=customer.headers) as session:
        for _ in range(24):
            await _ask(session, customer.url, 60 * too_large)
        charged = (await customer.settled())["charged"]
        costs = charged // 24
        # A wallet of exactly ten calls: the rest is taken back.
        left = (await customer.wallet())["balance"]
        await market.command(customer.org_id, "refund", grant, left - costs * _PAYABLE)

        async def ten() -> bool:
            return (await customer.wallet())["balance"] == costs * _PAYABLE

        await _until(ten)
        statuses = await asyncio.gather(*[_ask(session, customer.url, 60 * too_large) for _ in range(_BURST)])
    served = sum(status == 200 for status in statuses)
    after = await customer.settled()
    return Burst(
        served,
        max(0, -after["balance"]) * 1_000 // (costs * _PAYABLE),
        max(0, _PAYABLE - served) * 1_000 // _PAYABLE,
    )


async def _ask(session: aiohttp.ClientSession, url: str, max_tokens: int) -> int:
    async with session.post(url, json={"input": _QUESTION, "max_tokens": max_tokens}) as response:
        await response.read()
        return response.status


async def left_early(market: Market, streams: int = 30) -> tuple[int, int]:
    """Close streams at their third piece; return output tokens billed, and generated by the provider."""
    customer = await market.customer()
    await customer.credit(_ENOUGH)
    async with aiohttp.ClientSession(headers=customer.headers) as session:
        runs = await asyncio.gather(*[_leave(session, customer.url) for _ in range(streams)])
    await customer.settled()
    return await _billed(market, customer, len(runs)), await _generated(market, runs)


async def _leave(session: aiohttp.ClientSession, url: str) -> str:
    async with session.post(url, json={"input": _LONG, "stream": True}) as response:
        pieces = 0
        async for line in response.content:
            pieces += line.startswith(b"event: message.delta")
            if pieces == 3:
                return response.headers["X-Run-Id"]
    raise RuntimeError("the stream ended before its third piece")


async def killed(market: Market, streams: int = 20) -> tuple[int, int]:
    """Kill the gateway under streams in flight; return output tokens metered, and generated."""
    customer = await market.customer()
    await customer.credit(_ENOUGH)
    begun: list[str] = []
    async with aiohttp.ClientSession(headers=customer.headers) as session:
        reading = [asyncio.create_task(_read_on(session, customer.url, begun)) for _ in range(streams)]

        async def under_way() -> bool:
            return len(begun) == streams

        await _until(under_way)
        os.kill(_pid(market.stack, "gateway"), signal.SIGKILL)
        await asyncio.gather(*reading, return_exceptions=True)
    await _until(lambda: _answers(market.stack["gateway_url"]))
    await customer.settled()
    return await _billed(market, customer, streams), await _generated(market, begun)


async def _read_on(session: aiohttp.ClientSession, url: str, begun: list[str]) -> None:
    async with session.post(url, json={"input": _LONG, "stream": True}) as response:
        pieces = 0
        async for line in response.content:
            if line.startswith(b"event: message.delta"):
                pieces += 1
                if pieces == 5:
                    begun.append(response.headers["X-Run-Id"])


async def _answers(url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz") as response:
            return response.status == 200
    return False


def _pid(stack: dict[str, Any], name: str) -> int:
    """Return the process as it is now: what was restarted has another one."""
    module = next(p for p in stack["processes"] if p["name"] == name)["pid"]
    parent = psutil.Process(stack["pids"]["kafka"]).parent()
    children = parent.children() if parent else []
    named = [c.pid for c in children if c.cmdline()[-1] == name]
    return named[0] if named else int(module)


async def _billed(market: Market, customer: Customer, runs: int) -> int:
    sql = (
        "SELECT count(), sum(tokens_out) FROM runs FINAL WHERE org_id = {org:String} AND status != 'started'"
    )
    url = market.stack["clickhouse_url"]
    async with await clickhouse_client.connect(ClickHouseSettings(url=url)) as client:
        async with asyncio.timeout(90):
            while True:
                found, tokens = (await client.query(sql, parameters={"org": customer.org_id})).result_rows[0]
                if found >= runs:
                    return int(tokens)
                await asyncio.sleep(0.2)


async def _generated(market: Market, runs: list[str]) -> int:
    provider = psutil.Process(_pid(market.stack, "provider")).cmdline()
    port = provider[provider.index("--port") + 1]
    wanted = set(runs)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/admin/usage") as response,
    ):
        served = await response.json()
    return sum(row["completion_tokens"] for row in served if row["request_id"].rsplit("-", 1)[0] in wanted)


async def enforcement(market: Market, probes: int = 12) -> list[float]:
    """Return the milliseconds from Kafka's acknowledgement of a void to the end of the stream it cuts."""
    took = []
    for _ in range(probes):
        customer = await market.customer()
        grant = await customer.credit(_ENOUGH)
        async with (
            aiohttp.ClientSession(headers=customer.headers) as session,
            session.post(customer.url, json={"input": _LONG, "stream": True}) as response,
        ):
            voided, pieces = 0.0, 0
            async for line in response.content:
                pieces += line.startswith(b"event: message.delta")
                if pieces == 3 and not voided:
                    voided = await market.command(customer.org_id, "void", grant)
                if line.startswith(b"event: run.limit_exceeded"):
                    took.append((time.perf_counter() - voided) * 1000)
    return took


async def measure(stack: dict[str, Any]) -> dict[str, Any]:
    """Return all of it, by name."""
    async with market_of(stack) as market:
        return {
            "admission_ms": await admission(market),
            "bursts": {factor: await burst(market, factor) for factor in (1, 10)},
            "left_early": await left_early(market),
            "killed": await killed(market),
            "enforcement_ms": await enforcement(market),
        }
