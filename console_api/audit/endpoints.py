"""`GET /api/v1/account/audit` and, for whoever speaks for the tenant, `GET /api/v1/audit`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from console_api.audit import service
from console_api.audit.models import Page
from console_api.audit.service import Filter
from console_api.auth import roles
from console_api.auth.service import OrgMemberDep, PrincipalDep
from console_api.control.plane import ReadDep
from schemas.events import MAX_EXACT

router = APIRouter(prefix="/api/v1", tags=["audit"])

_Ms = Annotated[int, Query(ge=0, le=MAX_EXACT, description="Unix ms; 0: no bound")]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=1024)]


def _filter(
    *,
    actor: Annotated[str, Query(max_length=256)] = "",
    action: Annotated[str, Query(max_length=128, description="An action, or how it begins")] = "",
    target_id: Annotated[str, Query(max_length=128)] = "",
    from_ms: _Ms = 0,
    to_ms: _Ms = 0,
) -> Filter:
    return Filter(actor, action, target_id, from_ms, to_ms)


FilterDep = Annotated[Filter, Depends(_filter)]


@router.get("/account/audit", summary="Who did what in your org, newest first")
async def own(
    session: ReadDep, principal: OrgMemberDep, wanted: FilterDep, limit: Limit = 50, cursor: Cursor = None
) -> Page:
    return await service.page(session, principal, wanted, limit, cursor)


@router.get("/audit", summary="Who did what in the whole tenant, newest first (operators)")
async def all_of_it(
    session: ReadDep, principal: PrincipalDep, wanted: FilterDep, limit: Limit = 50, cursor: Cursor = None
) -> Page:
    roles.require(principal, "operator", "To read the tenant's audit log")
    return await service.page(session, principal, wanted, limit, cursor)
