"""The client across a restart of its server: real Valkey."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from waiting import PATIENCE_S

from kit import redis_client
from kit.settings import RedisSettings
from stack import ports, servers
from stack.process import Child


async def test_connections_of_a_server_that_restarted_cost_no_request(tmp_path: Path) -> None:
    port = ports.choose({"valkey": 0}, {})["valkey"]
    (tmp_path / "logs").mkdir()

    def server() -> Child:
        return Child(servers.valkey(tmp_path / "data", port), tmp_path / "logs", lambda: None)

    first = server()
    first.start()
    assert await first.wait_ready(PATIENCE_S)
    redis = redis_client.connect(RedisSettings(url=f"redis://127.0.0.1:{port}"))
    try:
        assert all(await asyncio.gather(*[redis.ping() for _ in range(40)]))
        await first.stop()
        second = server()
        second.start()
        assert await second.wait_ready(PATIENCE_S)
        assert all(await asyncio.gather(*[redis.ping() for _ in range(40)]))
        await second.stop()
    finally:
        await redis.aclose()


async def test_opening_a_client_to_a_server_that_is_away_is_no_error() -> None:
    redis = await redis_client.opened(RedisSettings(url="redis://127.0.0.1:1"))
    await redis.aclose()


@pytest.mark.parametrize("cluster", [False, True])
async def test_no_client_sends_a_command_again_by_itself(cluster: bool) -> None:
    redis = redis_client.connect(RedisSettings(url="redis://127.0.0.1:1", cluster=cluster))
    retry = redis.retry if cluster else redis.get_retry()  # type: ignore[attr-defined]
    assert retry.get_retries() == 0
    await redis.aclose()
