"""Kafka, Valkey and ClickHouse for tests: in containers where a Docker engine answers, embedded elsewhere."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from kit.settings import RedisSettings
from stack import ports
from stack.process import Child, ChildSpec

START_SECONDS = 180.0


@cache
def docker_answers() -> bool:
    """Return whether a Docker engine is there; asked once, for two seconds at most."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(2)
        try:
            engine.connect(address.removeprefix("unix://"))
            engine.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in engine.recv(64)
        except OSError:
            return False


class Embedded:
    """Runs parts of the embedded stack under a loop of its own, so that sync and async tests may use them.

    The parts are the children of its thread: they end with it, however the tests end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns on the loop."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(2 * START_SECONDS)

    @contextmanager
    def running(self, make: Callable[[], ChildSpec]) -> Iterator[Child]:
        """Run one part until the block ends."""
        child: Child = self.run(self._start(make))
        try:
            yield child
        finally:
            self.run(child.stop())

    async def _start(self, make: Callable[[], ChildSpec]) -> Child:
        child = Child(await asyncio.to_thread(make), self.folder, lambda: None)
        child.start()
        if not await child.wait_ready(START_SECONDS):
            await child.stop()
            raise AssertionError(f"{child.spec.name} did not start:\n{child.last_lines(20)}")
        return child

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


#: What gateways of a test show its runners.
SERVICE_TOKEN = "a-service-token-of-many-characters"


#: For a stack whose tests are not about outages: a noisy neighbour must not decide what its processes answer.
PATIENT = {
    "RUNMETER_REDIS_TIMEOUT_MS": "30000",
    "RUNMETER_CLICKHOUSE_QUERY_TIMEOUT_MS": "60000",
    "RUNMETER_DATABASE_BUSY_TIMEOUT_MS": "30000",
    "RUNMETER_OIDC_TIMEOUT_MS": "30000",
    # A run goes on without what is not found in time.
    "RUNMETER_RUNNER_RETRIEVAL_TIMEOUT_MS": "60000",
    "RUNMETER_RUNNER_TOOL_TIMEOUT_MS": "60000",
    "RUNMETER_STRIPE_TIMEOUT_MS": "30000",
    "RUNMETER_SALEOR_TIMEOUT_MS": "30000",
}


def redis_at(url: str) -> RedisSettings:
    """Return the settings of a Redis that is there; one that is slow is waited for."""
    return RedisSettings(url=url, timeout_ms=int(PATIENT["RUNMETER_REDIS_TIMEOUT_MS"]))


async def rewritten(redis: Redis) -> bool:
    """Return whether Valkey has written its append-only file anew, and it can be copied as it stands."""
    said = await redis.info("persistence")
    return not (said["aof_rewrite_in_progress"] or said["aof_rewrite_scheduled"])


def environment(data_dir: Path) -> dict[str, str]:
    """Return the environment of a `runmeter` command of its own data folder.

    NiceGUI serves nothing where it believes that it is being tested. Another stack here, that takes
    and frees the usual ports, is no concern of this one's.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NICEGUI_"))}
    told = {"RUNMETER_DATA_DIR": str(data_dir), "RUNMETER_RUNNER_SERVICE_TOKENS": SERVICE_TOKEN}
    return {**kept, **_ports(data_dir), **told}


@cache
def _ports(data_dir: Path) -> dict[str, str]:
    embedded = ("kafka", "kafka_controller", "valkey", "clickhouse", "provider")
    workers = ("metering_ops", "warehouse_ops", "relay_ops", "ingestion_ops", "billing_ops", "exports_ops")
    names = [f"RUNMETER_EMBEDDED_{name.upper()}_PORT" for name in (*embedded, *workers)]
    names += [f"RUNMETER_{name}_PORT" for name in ("GATEWAY", "RUNNER", "CONSOLE_API", "CONSOLE", "ISSUER")]
    return {name: str(port) for name, port in free_ports(*names).items()}


def listener(port: int = 0) -> socket.socket:
    """Return a socket that listens on this port of loopback, by default on a free one."""
    made = socket.create_server(("127.0.0.1", port))
    # asyncio sees to it only for sockets that are named as TCP.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def free_ports(*names: str) -> dict[str, int]:
    """Return a free port for each name."""
    return ports.choose(dict.fromkeys(names, 0), {})


@contextmanager
def container(kind: str) -> Iterator[str]:
    """Run `kafka`, `redis` or `clickhouse` in a container; yield its address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.waiting_utils import wait_for_logs
        from testcontainers.kafka import KafkaContainer

        if kind == "kafka":
            with KafkaContainer().with_kraft() as kafka:
                yield str(kafka.get_bootstrap_server())
            return
        image, port, line = {
            "redis": ("valkey/valkey:8.1", 6379, "Ready to accept connections"),
            "clickhouse": ("clickhouse/clickhouse-server:26.3", 8123, "Ready for connections"),
        }[kind]
        started = DockerContainer(image).with_exposed_ports(port)
        if kind == "clickhouse":
            started = started.with_env("CLICKHOUSE_SKIP_USER_SETUP", "1")
        with started:
            wait_for_logs(started, line, timeout=START_SECONDS)
            address = f"{started.get_container_host_ip()}:{started.get_exposed_port(port)}"
            yield f"redis://{address}/0" if kind == "redis" else f"http://{address}"
