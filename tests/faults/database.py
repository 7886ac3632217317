"""The control plane's database: killed, and away. Runs must not notice."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import aiohttp
from postgres_server import NotThere, binaries
from trial import Fault, Plan
from world import World, eventually

_AWAY_S = 20.0


class SqlAway(Fault):
    """PostgreSQL dies by kill -9 and stays away: runs go on, changes are refused, and nothing is lost."""

    name = "sql-away"
    sql = True
    watch = "answers"
    recovers_after = "heal"

    def missing(self) -> str:
        try:
            binaries()
        except NotThere as error:
            return str(error)
        return ""

    async def inject(self, world: World, chance: random.Random, plan: Plan) -> None:
        assert world.postgres is not None
        self._wrong: list[str] = []
        await asyncio.to_thread(world.postgres.kill)
        before = world.load.answered
        status, body = await _make_key(world)
        if status != 503:
            self._wrong.append(f"a change without a database was answered {status}: {body}")
        await asyncio.sleep(_AWAY_S)
        if world.load.answered - before < world.load.clients:
            self._wrong.append("runs stood still while the database was away")

    async def heal(self, world: World) -> None:
        assert world.postgres is not None
        await asyncio.to_thread(world.postgres.start)

    async def check(self, world: World) -> list[str]:
        made: dict[str, Any] = {}

        async def works() -> bool:
            status, body = await _make_key(world)
            made.update(body)
            return status == 201

        await eventually(works, "keys can be made again", 60)

        async def opens() -> bool:
            return await _runs_with(world, made["key"])

        await eventually(opens, "the new key runs", 10)
        return self._wrong


async def _make_key(world: World) -> tuple[int, dict[str, Any]]:
    url = f"{world.urls.console_api_url}/api/v1/instances/{world.demo.instance_id}/api_keys"
    headers = {"Authorization": f"Bearer {world.demo.admin_token}"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http,
        http.post(url, json={"kind": "secret", "name": "after the outage"}, headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def _runs_with(world: World, key: str) -> bool:
    body = {"input": "Hello", "max_tokens": 8}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http,
        http.post(f"{world.urls.gateway_url}/v1/runs", json=body, headers={"X-API-Key": key}) as answer,
    ):
        await answer.read()
        return answer.status == 200


FAULTS: tuple[Fault, ...] = (SqlAway(),)
