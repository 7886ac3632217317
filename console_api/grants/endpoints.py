"""`/api/v1/grants…`: giving credits and taking them back, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.grants import service
from console_api.grants.models import GrantPage, GrantTerms, GrantView, RefundTerms, VoidTerms
from console_api.idempotency import IdempotencyKeyDep

router = APIRouter(prefix="/api/v1", tags=["grants"])

#: That of a paid order is `order/…`, hence `:path`: a server sees `%2F` as a slash.
GrantId = Annotated[str, Path(min_length=1, max_length=128, examples=["grant_5f2c"])]
_REFUND = """\
Takes credits away whose money was returned elsewhere; what was spent of them becomes a debt. Money of an
order is returned with `POST /orders/{order_id}:refund`, which takes the credits back by itself.
"""


@router.get("/grants", summary="What was granted, newest first (operators)")
async def grants(
    session: ReadDep,
    principal: PrincipalDep,
    *,
    org_id: Annotated[str, Query(max_length=128, description="Only this org's")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> GrantPage:
    return await service.page(session, principal, org_id, limit, cursor)


@router.post("/grants", status_code=201, summary="Give an org credits (operators)")
async def give(
    terms: GrantTerms, session: WriteDep, control: ControlDep, principal: PrincipalDep, key: IdempotencyKeyDep
) -> GrantView:
    return await service.give(session, principal, terms, key=key, now_ms=control.clock())


@router.post("/grants/{grant_id:path}:void", summary="Take away what is left of a grant (operators)")
async def void(
    *,
    grant_id: GrantId,
    terms: VoidTerms,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    key: IdempotencyKeyDep,
) -> GrantView:
    return await service.void(session, principal, grant_id, terms, key=key, now_ms=control.clock())


@router.post(
    "/grants/{grant_id:path}:refund", summary="Take back a part of a grant (operators)", description=_REFUND
)
async def refund(
    *,
    grant_id: GrantId,
    terms: RefundTerms,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    key: IdempotencyKeyDep,
) -> GrantView:
    return await service.refund(session, principal, grant_id, terms, key=key, now_ms=control.clock())
