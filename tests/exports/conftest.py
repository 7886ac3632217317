"""Kafka and Valkey of this folder's own, with a billing worker that a test may kill."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from streams_rig import Rig, running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """Kafka and Valkey, topics made."""
    async with running(tmp_path_factory.mktemp("exports")) as started:
        yield started
