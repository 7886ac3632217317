"""`GET /api/v1/consumers`: how far workers are behind the log, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from console_api.auth.service import PrincipalDep
from console_api.consumers.models import Consumers
from console_api.consumers.service import ConsumerWatch

router = APIRouter(prefix="/api/v1", tags=["consumers"])

_DESCRIPTION = """\
Metering's positions are its fences in Redis, the warehouse's the plans in its commits: of these, committed
offsets alone say little. Figures are of the whole installation and two seconds old at most.
"""


def _watch(request: Request) -> ConsumerWatch:
    watch = request.app.state.consumers
    assert isinstance(watch, ConsumerWatch)
    return watch


@router.get("/consumers", summary="How far workers are behind (operators)", description=_DESCRIPTION)
async def consumers(principal: PrincipalDep, watch: Annotated[ConsumerWatch, Depends(_watch)]) -> Consumers:
    return await watch.read(principal)
