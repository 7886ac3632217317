"""`GET /api/v1/instances/{id}/runs/{run_id}/inspection` and `GET /api/v1/runs/{run_id}`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from console_api.auth.service import OrgMemberDep
from console_api.inspection import service
from console_api.inspection.models import Inspection, RunPlace
from console_api.instances.service import OwnInstanceDep
from console_api.stores import StoresDep

router = APIRouter(prefix="/api/v1", tags=["runs"])

RunId = Annotated[str, Path(min_length=1, max_length=128)]

_INSPECTION = """\
One run in full: its model calls and tool calls, its price item by item, its ledger entries, and its events
with their topic, partition and offset on Kafka.

The run's state is the one that was charged, as long as the metering worker keeps it (14 days); later it is
folded from the events anew. `bill.exact` says whether the items and corrections add up to what was charged.
"""


@router.get(
    "/instances/{instance_id}/runs/{run_id}/inspection",
    summary="One run in full",
    description=_INSPECTION,
)
async def inspection(
    stores: StoresDep,
    own: OwnInstanceDep,
    run_id: RunId,
) -> Inspection:
    return await service.inspect(stores, own, run_id)


@router.get("/runs/{run_id}", summary="Which of your org's instances a run is of")
async def place(stores: StoresDep, principal: OrgMemberDep, run_id: RunId) -> RunPlace:
    return await service.place(stores, principal, run_id)
