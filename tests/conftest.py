"""The servers tests run against. Each is started once per session, and only when a test asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from containers import Embedded, container, docker_answers, environment, free_ports

from kit.settings import KafkaSettings
from stack import servers, topics


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """Where parts of the embedded stack run."""
    runner = Embedded(tmp_path_factory.mktemp("embedded"))
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def kafka(embedded: Embedded) -> Iterator[str]:
    """A broker's address. The product's topics are there, with the default number of partitions."""
    with _server(embedded, "kafka") as bootstrap:
        embedded.run(topics.create(KafkaSettings(bootstrap=bootstrap)))
        yield bootstrap


@pytest.fixture(scope="session")
def redis_url(embedded: Embedded) -> Iterator[str]:
    """An empty Valkey. Tests share it: use keys of their own."""
    with _server(embedded, "redis") as url:
        yield url


@pytest.fixture(scope="session")
def clickhouse_url(embedded: Embedded) -> Iterator[str]:
    """A ClickHouse without the product's tables. Tests share it: use databases of their own."""
    with _server(embedded, "clickhouse") as url:
        yield url


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The whole stack, as `runmeter up --detach --json` shows it, with its `data_dir`.

    It expects Stripe and a Saleor shop at `stripe_port` and `saleor_port`; a test may put them there.
    """
    data_dir = tmp_path_factory.mktemp("stack")
    outside = free_ports("stripe_port", "saleor_port")
    payments = {
        "RUNMETER_STRIPE_API_KEY": "sk_test_4242",
        "RUNMETER_STRIPE_TENANT_ID": "tenant_demo",
        "RUNMETER_STRIPE_WEBHOOK_SECRETS": "whsec_new",
        "RUNMETER_STRIPE_API_BASE": f"http://127.0.0.1:{outside['stripe_port']}",
        "RUNMETER_SALEOR_URL": f"http://127.0.0.1:{outside['saleor_port']}",
        "RUNMETER_SALEOR_TENANT_ID": "tenant_demo",
    }

    def runmeter(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stack.cli", *arguments],
            env={**environment(data_dir), **payments},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    started = runmeter("up", "--detach", "--json")
    try:
        assert started.returncode == 0, started.stderr
        yield {**json.loads(started.stdout), **outside, "data_dir": str(data_dir)}
    finally:
        runmeter("down")


@contextmanager
def _server(embedded: Embedded, kind: str) -> Iterator[str]:
    if docker_answers():
        with container(kind) as address:
            yield address
        return
    port, controller = free_ports("server", "controller").values()
    data: Path = embedded.folder / kind
    make, address = {
        "kafka": (lambda: servers.kafka(data, port, controller), f"127.0.0.1:{port}"),
        "redis": (lambda: servers.valkey(data, port), f"redis://127.0.0.1:{port}/0"),
        "clickhouse": (lambda: servers.clickhouse(data, port), f"http://127.0.0.1:{port}"),
    }[kind]
    with embedded.running(make):
        yield address
