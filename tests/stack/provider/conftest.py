from __future__ import annotations

from collections.abc import Iterator

import pytest
from provider_process import ProviderProcess


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderProcess]:
    """A provider without delays."""
    started = ProviderProcess(tmp_path_factory.mktemp("provider") / "fast.log", time_scale=0)
    yield started
    started.close()
    assert "Traceback" not in started.log()


@pytest.fixture(scope="session")
def paced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderProcess]:
    """A provider at its natural pace, with a key."""
    log = tmp_path_factory.mktemp("provider") / "paced.log"
    started = ProviderProcess(log, time_scale=1, api_key="sk-open-sesame")
    yield started
    started.close()
    assert "Traceback" not in started.log()
