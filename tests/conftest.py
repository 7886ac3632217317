"""The servers tests run against. Each is started once per session, and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from containers import Embedded, container, docker_answers, free_ports

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
