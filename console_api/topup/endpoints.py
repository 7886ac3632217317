"""`/api/v1/topup`: the org's automatic top-up."""

from __future__ import annotations

from fastapi import APIRouter, Response

from console_api.auth.service import OrgMemberDep
from console_api.control.errors import PreconditionRequired
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.etags import ExpectedDep, tag
from console_api.orders.endpoints import ShopDep
from console_api.topup import service
from console_api.topup.models import TopUpTerms, TopUpView

router = APIRouter(prefix="/api/v1", tags=["orders"])


@router.get("/topup", summary="When credits are bought by themselves")
async def topup(
    session: ReadDep, control: ControlDep, principal: OrgMemberDep, response: Response
) -> TopUpView:
    view = await service.read(session, principal, control.clock())
    tag(response, view.version)
    return view


@router.put("/topup", summary="Set when credits are bought by themselves")
async def put_topup(
    *,
    terms: TopUpTerms,
    session: WriteDep,
    control: ControlDep,
    shop: ShopDep,
    principal: OrgMemberDep,
    expected: ExpectedDep,
    response: Response,
) -> TopUpView:
    if expected is None:
        raise PreconditionRequired(
            "Send If-Match with the ETag you read; the first time, `If-None-Match: *`."
        )
    view = await service.write(session, principal, shop.providers, terms, expected, now_ms=control.clock())
    tag(response, view.version)
    return view
