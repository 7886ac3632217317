"""How long after Kafka acknowledged an event it is seen: in Redis, in ClickHouse, in the API's stream, in a
browser. Measured under a steady load of events."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer
from bench_events import price_book
from bench_rig import process
from bench_stack import paused
from playwright.async_api import async_playwright
from signing_in import sign_in

from kit import clickhouse_client, redis_client
from kit.settings import ClickHouseSettings, KafkaSettings, RedisSettings
from schemas import keys, topics
from schemas.events import RunEvent, encode
from schemas.partitioning import partition_of

_ROOT = Path(__file__).resolve().parents[2]
_PROBES = 200
_STREAM_PROBES = 30
_BROWSER_PROBES = 15
_PARTITIONS = KafkaSettings().partitions
_WARM_UP_S = 5
_CATCH_UP_S = 120
_CAUGHT_UP_MS = 2_000

Milliseconds = list[float]


async def measure(
    stack: dict[str, Any], folder: Path, events_per_s: int = 5_000
) -> dict[str, Milliseconds | float]:
    """Return the delays by place in milliseconds, and the load that was really sent."""
    redis = redis_client.connect(RedisSettings(url=stack["redis_url"]))
    await redis.set(keys.price_book(price_book().version), encoded_book())
    producer = AIOKafkaProducer(bootstrap_servers=stack["kafka_bootstrap"], acks="all", linger_ms=2)
    await producer.start()
    probe = Probe(stack, producer)
    try:
        with _load(stack["kafka_bootstrap"], events_per_s, folder) as said:
            await asyncio.sleep(_WARM_UP_S)
            began, before = time.perf_counter(), _sent(said)
            with paused(stack, "warehouse", "clickhouse", "console_api", "console"):
                alone = await _redis(probe, redis)
            await _caught_up(stack)
            in_redis = await _redis(probe, redis)
            in_clickhouse = await _clickhouse(stack, probe)
            in_stream = await _stream(stack, probe)
            in_browser = await _browser(stack, probe)
            rate = (_sent(said) - before) / (time.perf_counter() - began)
    finally:
        await producer.stop()
        await redis.aclose()
    return {
        "Redis counter": alone,
        "Redis counter, analytics on the same cores": in_redis,
        "ClickHouse": in_clickhouse,
        "live stream (SSE)": in_stream,
        "browser": in_browser,
        "events_per_s": rate,
    }


def encoded_book() -> bytes:
    import msgspec

    return msgspec.json.encode(price_book())


class Probe:
    """Publishes closing events of the demo instance and says when Kafka had them."""

    def __init__(self, stack: dict[str, Any], producer: AIOKafkaProducer) -> None:
        self._demo = stack["demo"]
        self._producer = producer
        self._book = price_book().version
        self._number = 0

    @property
    def partition(self) -> int:
        return partition_of(self._demo["org_id"], _PARTITIONS)

    async def send(self) -> tuple[str, float]:
        """Return the run's id and the moment of the acknowledgement."""
        self._number += 1
        now = time.time_ns() // 1_000_000
        run_id = f"run_probe_{now}_{self._number}"
        event = RunEvent(
            tenant_id=self._demo["tenant_id"],
            org_id=self._demo["org_id"],
            instance_id=self._demo["instance_id"],
            run_id=run_id,
            channel="api",
            price_version=self._book,
            started_at_ms=now,
            occurred_at_ms=now,
            status="completed",
            model="gpt-4o-mini",
        )
        await self._producer.send_and_wait(
            topics.RUNS.name, encode(event), key=self._demo["org_id"].encode(), partition=self.partition
        )
        return run_id, time.perf_counter()


async def _redis(probe: Probe, redis: Any) -> Milliseconds:
    delays: Milliseconds = []
    for _ in range(_PROBES):
        run_id, acked = await probe.send()
        while not await redis.exists(keys.run(probe.partition, run_id)):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.001)
        delays.append((time.perf_counter() - acked) * 1000)
        await asyncio.sleep(random.uniform(0.0, 0.05))
    return delays


async def _clickhouse(stack: dict[str, Any], probe: Probe) -> Milliseconds:
    delays: Milliseconds = []
    async with await clickhouse_client.connect(ClickHouseSettings(url=stack["clickhouse_url"])) as client:
        for _ in range(_PROBES):
            run_id, acked = await probe.send()
            while not await _stored(client, run_id):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)
            delays.append((time.perf_counter() - acked) * 1000)
            await asyncio.sleep(random.uniform(0.0, 0.1))
    return delays


async def _stored(client: Any, run_id: str) -> bool:
    sql = "SELECT count() FROM runs WHERE run_id = {run:String} AND started_at > now() - 600"
    return bool((await client.query(sql, parameters={"run": run_id})).result_rows[0][0])


async def _caught_up(stack: dict[str, Any]) -> None:
    """Wait until ClickHouse holds what was sent while its worker was paused."""
    async with await clickhouse_client.connect(ClickHouseSettings(url=stack["clickhouse_url"])) as client:
        sql = "SELECT dateDiff('millisecond', max(started_at), now64(3)) FROM runs"
        async with asyncio.timeout(_CATCH_UP_S):
            while (await client.query(sql)).result_rows[0][0] > _CAUGHT_UP_MS:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.5)


async def _stream(stack: dict[str, Any], probe: Probe) -> Milliseconds:
    """The next event of the live stream after a probe carries it: nothing else changes that instance."""
    url = f"{stack['console_api_url']}/api/v1/instances/{stack['demo']['instance_id']}/usage/live"
    headers = {"Authorization": f"Bearer {stack['demo']['admin_token']}"}
    delays: Milliseconds = []
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        lines = response.content
        await _next_event(lines)
        for _ in range(_STREAM_PROBES):
            _, acked = await probe.send()
            await _next_event(lines)
            delays.append((time.perf_counter() - acked) * 1000)
            await asyncio.sleep(0.6)
    return delays


async def _next_event(lines: aiohttp.StreamReader) -> None:
    async for line in lines:
        if line.startswith(b"data:"):
            return


async def _browser(stack: dict[str, Any], probe: Probe) -> Milliseconds:
    delays: Milliseconds = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = await browser.new_page()
        await sign_in(page, stack)
        await page.goto(f"{stack['console_url']}/account/instances/{stack['demo']['instance_id']}")
        tile = page.get_by_test_id("runs")
        await tile.wait_for()
        await asyncio.sleep(2)
        for _ in range(_BROWSER_PROBES):
            before = await tile.inner_text()
            _, acked = await probe.send()
            await page.wait_for_function(
                "before => document.querySelector('[data-testid=runs]').innerText !== before",
                arg=before,
                polling="raf",
            )
            delays.append((time.perf_counter() - acked) * 1000)
            await asyncio.sleep(0.7)
        await browser.close()
    return delays


@contextlib.contextmanager
def _load(bootstrap: str, events_per_s: int, folder: Path) -> Iterator[Path]:
    """Send whole runs' events at a steady rate until the block ends; yields where the count is written."""
    said = folder / "load.txt"
    env = {**os.environ, "PYTHONPATH": f"{_ROOT}:{Path(__file__).parent}"}
    program = str(Path(__file__).with_name("steady_load.py"))
    with process([program, bootstrap, str(events_per_s)], env, said):
        yield said


def _sent(said: Path) -> int:
    lines = said.read_text().split()
    return int(lines[-1]) if lines else 0
