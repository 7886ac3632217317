"""`GET /api/v1/instances/{id}/runs`, `GET /api/v1/instances/{id}/runs/{run_id}`."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query

from console_api.instances.service import OwnInstanceDep
from console_api.runs import service
from console_api.runs.models import Run, RunFilter, RunPage
from console_api.stores import StoresDep
from console_api.times import range_of
from schemas.events import Channel, RunStatus

router = APIRouter(prefix="/api/v1/instances/{instance_id}/runs", tags=["runs"])

_MONTH_MS = 30 * 86_400_000
_UTC = ZoneInfo("UTC")


@router.get("", summary="Runs, newest first")
async def runs(
    stores: StoresDep,
    own: OwnInstanceDep,
    *,
    start: Annotated[
        str | None, Query(alias="from", max_length=40, description="ISO-8601 or Unix ms; default 30 days ago")
    ] = None,
    to: Annotated[str | None, Query(max_length=40, description="Exclusive; default now")] = None,
    status: RunStatus | None = None,
    model: Annotated[str, Query(max_length=256)] = "",
    channel: Channel | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> RunPage:
    # A producer's clock may be ahead of ours: without `to`, the newest runs are not cut off.
    span = range_of(start, to, _MONTH_MS, stores.clock() + 300_000, _UTC)
    wanted = RunFilter(span.from_ms, span.to_ms, status or "", model, channel or "")
    return await service.page(stores, own, wanted, limit, cursor)


@router.get("/{run_id}", summary="One run")
async def run(
    stores: StoresDep,
    own: OwnInstanceDep,
    run_id: Annotated[str, Path(min_length=1, max_length=128)],
) -> Run:
    return await service.one(stores, own, run_id)
