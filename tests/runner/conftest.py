"""Fixtures: a runner whose model does whatever a test says."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.append(str(Path(__file__).parents[1] / "gateway"))  # gateway_rig

from gateway_rig import Plane, open_plane
from odd_model import OddModel, RunnerWithModel, odd_model


@pytest_asyncio.fixture(scope="session")
async def plane(tmp_path_factory: pytest.TempPathFactory, kafka: str, redis_url: str) -> AsyncIterator[Plane]:
    async with open_plane(tmp_path_factory.mktemp("runner"), kafka, redis_url) as made:
        yield made


@pytest_asyncio.fixture(scope="session")
async def odd() -> AsyncIterator[OddModel]:
    async with odd_model() as model:
        yield model


@pytest_asyncio.fixture(scope="session")
async def runner(plane: Plane, odd: OddModel) -> RunnerWithModel:
    service = await plane.runner(
        odd,  # type: ignore[arg-type]
        RUNNER_MAX_STEPS="3",
        RUNNER_MAX_TOOL_CALLS="4",
        RUNNER_TOOL_TIMEOUT_MS="500",
    )
    return RunnerWithModel(plane, service, odd)
