from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_process import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server with the default limits, shared by the tests that leave it running."""
    started = ServerProcess(tmp_path_factory.mktemp("clickhouse") / "data").start()
    yield started
    started.close()


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server with a password and small limits."""
    limits = {
        "max-query-seconds": "2",
        "max-memory-bytes": "100000000",
        "max-concurrent-queries": "2",
        "max-queued-queries": "1",
        "max-body-bytes": "1000000",
        "max-result-bytes": "3000000",
        "stall-seconds": "2",
    }
    options = [part for name, value in limits.items() for part in (f"--{name}", value)]
    path = tmp_path_factory.mktemp("clickhouse") / "strict"
    started = ServerProcess(path, *options, password="open sesame").start()
    yield started
    started.close()


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the test's own, started, to be killed or stopped."""
    started = ServerProcess(tmp_path_factory.mktemp("clickhouse") / "own").start()
    yield started
    started.close()
