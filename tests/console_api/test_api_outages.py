"""A store that is away is a 503 problem that says which and when to come back."""

from __future__ import annotations

import socket
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
from console_stack import serving
from console_world import World
from cut_proxy import proxy
from sse_reader import live

from console_api.app import Config
from kit.settings import ClickHouseSettings, RedisSettings


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_without_redis(http: aiohttp.ClientSession, config: Config, world: World) -> None:
    away = replace(config, redis=RedisSettings(url=f"redis://127.0.0.1:{_closed_port()}/0"))
    async with serving(away) as url:
        for path in (
            "/wallet",
            "/wallet/balance",
            "/account/instances",
            f"/instances/{world.instance_id}/usage/live",
        ):
            async with http.get(f"{url}/api/v1{path}", headers=world.headers) as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"]
                assert (await answer.json())["store"] == "redis"
        async with http.get(f"{url}/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json())["checks"] == {"redis": "unreachable", "clickhouse": "ok"}
        async with http.get(f"{url}/healthz") as answer:
            assert answer.status == 200


async def test_without_clickhouse_live_figures_go_on(
    http: aiohttp.ClientSession, config: Config, world: World
) -> None:
    away = replace(config, clickhouse=ClickHouseSettings(url=f"http://127.0.0.1:{_closed_port()}"))
    async with serving(away) as url:
        async with http.get(f"{url}/api/v1/wallet", headers=world.headers) as answer:
            assert answer.status == 200
        history = [f"instances/{world.instance_id}/usage", f"instances/{world.instance_id}/runs"]
        for path in (*history, "wallet/ledger", "wallet/ledger?format=csv", "wallet/balance"):
            async with http.get(f"{url}/api/v1/{path}", headers=world.headers) as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"]
                body = await answer.json()
                assert body["store"] == "clickhouse"
                assert "Traceback" not in body["detail"]
        async with http.get(f"{url}/readyz") as answer:
            assert (await answer.json())["checks"]["clickhouse"] == "unreachable"


async def test_live_figures_survive_an_outage_of_redis_and_say_so(
    http: aiohttp.ClientSession, config: Config, world: World
) -> None:
    target = urlsplit(config.redis.url)
    async with proxy(target.hostname or "", target.port or 0) as cut:
        behind = replace(config, redis=RedisSettings(url=f"redis://127.0.0.1:{cut.port}/0"))
        async with serving(behind) as url, live(http, url, world.instance_id, world.headers) as stream:
            await stream.next()
            cut.cut()
            stale = await stream.until(lambda event: event.data["stale"])
            assert stale.name == "delta"
            await world.count(tokens_in=9)
            cut.mend()
            fresh = await stream.until(lambda event: not event.data["stale"])
            assert fresh.data["totals"]["tokens_in"] == 9
            assert fresh.data["windows"]["second5"][0]["tokens_in"] == 9
