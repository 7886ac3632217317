"""One run, from HTTP to a chart in a real browser, by the public interfaces only."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from containers import redis_at
from playwright.async_api import Page, async_playwright
from redis.asyncio import Redis
from signing_in import sign_in
from waiting import PATIENCE_S, eventually

from kit import clickhouse_client, redis_client
from kit.settings import ClickHouseSettings, KafkaSettings
from schemas import keys
from schemas.partitioning import partition_of
from stack.seed import DEMO_ORIGIN

Stack = dict[str, Any]

_CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest_asyncio.fixture
async def page(stack: Stack) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=_CHROMIUM_ARGS
        )
        opened = await browser.new_page()
        await sign_in(opened, stack)
        await opened.goto(f"{stack['console_url']}/account/instances/{stack['demo']['instance_id']}")
        yield opened
        await browser.close()


@pytest_asyncio.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_at(stack["redis_url"]))
    yield client
    await client.aclose()


async def run_once(stack: Stack, text: str, key: str = "api_key") -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        response = await client.post(
            f"{stack['gateway_url']}/v1/runs",
            json={"input": text, "max_tokens": 60},
            headers={"X-API-Key": stack["demo"][key], "Origin": DEMO_ORIGIN},
        )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def totals_in_redis(stack: Stack, redis: Redis) -> dict[str, int]:
    demo = stack["demo"]
    partition = partition_of(demo["org_id"], KafkaSettings().partitions)
    stored = await redis.hgetall(keys.counter(partition, demo["instance_id"]))
    return {name.decode(): int(value) for name, value in stored.items()}


async def test_a_run_moves_the_counters_the_wallet_clickhouse_the_api_and_the_browser(
    stack: Stack, redis: Redis, page: Page
) -> None:
    runs_tile = page.get_by_test_id("runs")
    await runs_tile.wait_for()
    before = await totals_in_redis(stack, redis)
    shown_before = await runs_tile.inner_text()

    answer = await run_once(stack, "What is 12 * 12?")

    assert answer["status"] == "completed"
    assert answer["usage"]["tool_calls"] == 1

    async def counted() -> bool:
        now = await totals_in_redis(stack, redis)
        return now.get("runs", 0) == before.get("runs", 0) + 1

    await eventually(counted, "the run is counted in Redis")
    now = await totals_in_redis(stack, redis)
    assert now["tokens_out"] - before.get("tokens_out", 0) == answer["usage"]["tokens_out"]
    assert now["tool_calls"] - before.get("tool_calls", 0) == 1

    async def moved() -> bool:
        return await runs_tile.inner_text() != shown_before

    await eventually(moved, "the chart's tile moves without a reload")

    stored = await stored_run(stack, answer["run_id"])
    assert stored == (
        "completed",
        answer["usage"]["tokens_in"],
        answer["usage"]["tokens_out"],
        1,
        micro(answer["usage"]["credits"]),
    )
    await usage_api_agrees(stack, now)
    await wallet_agrees(stack, redis)


async def stored_run(stack: Stack, run_id: str) -> tuple[Any, ...]:
    sql = """
    SELECT status, tokens_in, tokens_out, tool_calls, charged_micro FROM runs FINAL
    WHERE run_id = {run:String} AND status != 'started'
    """
    async with await clickhouse_client.connect(ClickHouseSettings(url=stack["clickhouse_url"])) as client:
        found: list[tuple[Any, ...]] = []

        async def there() -> bool:
            found[:] = [
                tuple(row) for row in (await client.query(sql, parameters={"run": run_id})).result_rows
            ]
            return bool(found)

        await eventually(there, "the run is queryable in ClickHouse")
    return found[0]


async def usage_api_agrees(stack: Stack, counted: dict[str, int]) -> None:
    now = datetime.now(UTC)
    span = {"from": (now - timedelta(hours=2)).isoformat(), "to": (now + timedelta(minutes=2)).isoformat()}
    url = f"{stack['console_api_url']}/api/v1/instances/{stack['demo']['instance_id']}/usage"
    async with httpx.AsyncClient(headers=bearer(stack)) as client:

        async def same() -> bool:
            response = await client.get(url, params={**span, "window": "minute"})
            assert response.status_code == 200, response.text
            totals = response.json()["totals"]
            return bool(totals["runs"] >= counted["runs"] and totals["tokens_out"] >= counted["tokens_out"])

        await eventually(same, "the usage API tells the same totals")


async def wallet_agrees(stack: Stack, redis: Redis) -> None:
    partition = partition_of(stack["demo"]["org_id"], KafkaSettings().partitions)
    charged = int(await redis.hget(keys.wallet(partition, stack["demo"]["org_id"]), "charged") or 0)
    async with httpx.AsyncClient(headers=bearer(stack)) as client:
        wallet = (await client.get(f"{stack['console_api_url']}/api/v1/wallet")).json()
    assert wallet["charged_micro"] >= charged > 0
    assert wallet["settled_micro"] == wallet["granted_micro"] - wallet["charged_micro"]


async def test_a_widget_s_run_is_counted_as_such(stack: Stack) -> None:
    answer = await run_once(stack, "Which delivery options do you offer?", key="widget_key")

    async with await clickhouse_client.connect(ClickHouseSettings(url=stack["clickhouse_url"])) as client:

        async def there() -> bool:
            sql = "SELECT channel FROM runs FINAL WHERE run_id = {run:String} AND status = 'completed'"
            rows = (await client.query(sql, parameters={"run": answer["run_id"]})).result_rows
            return [tuple(row) for row in rows] == [("widget",)]

        await eventually(there, "the run's channel is widget")


def bearer(stack: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack['demo']['admin_token']}"}


def micro(credits: str) -> int:
    whole, _, part = credits.partition(".")
    return int(whole) * 1_000_000 + int(part)


@pytest.mark.timeout(400)
async def test_the_demo_agrees_exactly_though_every_service_is_killed(tmp_path: Any) -> None:
    import sys

    from containers import environment

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stack.cli", "demo", "--runs", "120", "--exit", "--kill"),
        env=environment(tmp_path / "demo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    text = said.decode()

    assert process.returncode == 0, text
    assert "exact agreement" in text
    assert "killed: " in text
