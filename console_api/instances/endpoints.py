"""`GET /api/v1/account/instances`, `GET /api/v1/instances/{id}`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from console_api.auth.service import OrgMemberDep
from console_api.instances import service
from console_api.instances.models import InstanceDetail, InstancePage
from console_api.instances.service import OwnInstanceDep
from console_api.stores import StoresDep

router = APIRouter(prefix="/api/v1", tags=["instances"])


@router.get("/account/instances", summary="The instances your org purchased")
async def instances(
    stores: StoresDep,
    principal: OrgMemberDep,
    q: Annotated[str, Query(max_length=100, description="A part of the name or the id")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 24,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> InstancePage:
    return await service.page(stores, principal, q, limit, cursor)


@router.get("/instances/{instance_id}", summary="One instance")
async def instance(stores: StoresDep, own: OwnInstanceDep) -> InstanceDetail:
    return await service.detail(stores, own)
