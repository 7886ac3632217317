"""A worker can be asked from outside its container, and `healthy.py` says what it answers."""

from __future__ import annotations

import asyncio
import os
import sys

from deployment_files import DOCKER

from kit import ops_server


async def _exit_code(port: int) -> int:
    env = {**os.environ, "HEALTH_PORT": str(port)}
    asking = await asyncio.create_subprocess_exec(sys.executable, str(DOCKER / "healthy.py"), env=env)
    return await asking.wait()


async def test_a_worker_listens_where_it_is_told_and_is_found_well_until_it_ends() -> None:
    async def ready() -> dict[str, str]:
        return {}

    runner = await ops_server.serve(0, ready, "0.0.0.0")
    host, port = runner.addresses[0][:2]
    assert host == "0.0.0.0"
    assert await _exit_code(port) == 0
    await runner.cleanup()
    assert await _exit_code(port) == 1


async def test_by_default_a_worker_listens_on_loopback_alone() -> None:
    async def ready() -> dict[str, str]:
        return {}

    runner = await ops_server.serve(0, ready)
    assert runner.addresses[0][0] == "127.0.0.1"
    await runner.cleanup()
