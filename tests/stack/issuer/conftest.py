from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from issuer_rig import App, IssuerProcess


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerProcess]:
    process = IssuerProcess(tmp_path_factory.mktemp("issuer"))
    yield process
    process.close()
    assert "Traceback" not in process.log()
    assert process.password not in process.log()


@pytest.fixture
async def issuer(started: IssuerProcess) -> IssuerProcess:
    await started.ready()
    return started


@pytest.fixture
async def app(issuer: IssuerProcess) -> AsyncIterator[App]:
    async with httpx.AsyncClient(base_url=issuer.url) as http:
        yield App(issuer, http)
