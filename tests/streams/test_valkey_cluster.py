"""The same worker and relay on a Valkey Cluster of three nodes: every script and read stays in one slot."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError
from streams_rig import BOOK, RUN_COSTS, Rig, running
from waiting import eventually

from kit import redis_client
from kit.settings import RedisSettings
from schemas import keys, topics
from schemas.events import GrantEvent
from schemas.partitioning import partition_of
from stack import ports, servers
from stack import topics as stack_topics

_SLOTS = 16_384
_NODES = 3


@contextlib.contextmanager
def nodes(folder: Path) -> Iterator[list[int]]:
    """Run three Valkey servers in cluster mode, not yet introduced to each other; yield their ports."""
    names = [f"{kind}{n}" for n in range(_NODES) for kind in ("node", "bus")]
    chosen = ports.choose(dict.fromkeys(names, 0), {})
    started = []
    try:
        for n in range(_NODES):
            port, bus = chosen[f"node{n}"], chosen[f"bus{n}"]
            data = folder / f"node{n}"
            argv = servers.valkey(data, port).argv
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            with (folder / f"node{n}.log").open("wb") as log:
                started.append(subprocess.Popen([*argv, *options], stdout=log, stderr=log))
        yield [chosen[f"node{n}"] for n in range(_NODES)]
    finally:
        for process in started:
            process.kill()
            process.wait()


async def join(found: list[int]) -> None:
    """Make a cluster of the nodes: a third of the slots each."""
    clients = [Redis(port=port) for port in found]

    async def answer() -> bool:
        with contextlib.suppress(RedisError, OSError):
            return all([await client.ping() for client in clients])
        return False

    await eventually(answer, "the nodes answer")
    bounds = [_SLOTS * n // _NODES for n in range(_NODES + 1)]
    for n, client in enumerate(clients):
        await client.execute_command("CLUSTER ADDSLOTSRANGE", bounds[n], bounds[n + 1] - 1)
    for n in range(1, _NODES):
        bus = await _bus_of(clients[n])
        await clients[0].execute_command("CLUSTER MEET", "127.0.0.1", found[n], bus)

    async def agree() -> bool:
        states = [await client.execute_command("CLUSTER INFO") for client in clients]
        return all(_is_ok(state) for state in states)

    await eventually(agree, "the nodes agree on the slots")
    for client in clients:
        await client.aclose()


async def _bus_of(client: Redis) -> int:
    return int((await client.config_get("cluster-port"))["cluster-port"])


def _is_ok(state: Any) -> bool:
    known = state if isinstance(state, dict) else dict(line.split(":", 1) for line in state.decode().split())
    return known["cluster_state"] == "ok" and int(known["cluster_known_nodes"]) == _NODES


@pytest_asyncio.fixture(loop_scope="session")
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path) as single:
        with nodes(tmp_path) as found:
            await join(found)
            settings = RedisSettings(url=f"redis://127.0.0.1:{found[0]}", cluster=True)
            redis = redis_client.connect(settings)
            await redis.set(keys.price_book(BOOK.version), msgspec.json.encode(BOOK))
            await stack_topics.create_fences({topic.name for topic in topics.METERED}, single.kafka, settings)
            clustered = replace(single, redis=redis, redis_settings=settings)
            try:
                yield clustered
            finally:
                for process in clustered.workers:
                    process.kill()
                    process.wait()
                await redis.aclose()


async def test_runs_and_grants_are_applied_and_told_on_a_cluster(rig: Rig) -> None:
    rig.start("streams.metering", RUNMETER_REDIS_CLUSTER="true")
    rig.start("streams.relay", instance="relay", RUNMETER_REDIS_CLUSTER="true")
    grants = [
        GrantEvent(
            grant_id=f"g-{n}",
            tenant_id="t",
            org_id=f"org-{n}",
            kind="purchase",
            amount_micro=1_000_000,
            occurred_at_ms=1,
        )
        for n in range(8)
    ]
    await rig.send(topics.GRANTS, grants)
    await rig.send_runs("clustered", 400)

    async def charged() -> bool:
        return await rig.charged() == 400 * RUN_COSTS

    await eventually(charged, "every run is charged once")
    for n in range(8):
        key = keys.wallet(partition_of(f"org-{n}", rig.kafka.partitions), f"org-{n}")
        assert int(await rig.redis.hget(key, "balance") or 0) == 1_000_000 - 50 * RUN_COSTS

    async def told() -> bool:
        left = [await rig.redis.xlen(keys.outbox(p)) for p in range(rig.kafka.partitions)]
        return sum(left) == 0

    await eventually(told, "the relay has published the outboxes")
    homes = {_node_of(rig, p) for p in range(rig.kafka.partitions)}
    assert len(homes) > 1, "the partitions are on several nodes"


def _node_of(rig: Rig, partition: int) -> Any:
    cluster: Any = rig.redis
    return cluster.get_node_from_key(keys.outbox_sequence(partition)).name
