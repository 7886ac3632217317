"""`/api/v1/corrections…`: what runs should have cost, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.corrections import service
from console_api.corrections.models import (
    CorrectionPage,
    CorrectionPreview,
    CorrectionTerms,
    CorrectionView,
)
from console_api.idempotency import IdempotencyKeyDep
from console_api.stores import StoresDep

router = APIRouter(prefix="/api/v1", tags=["corrections"])

_SEND = """\
What was charged stays in the ledger: the difference becomes an adjustment from now on, seconds after this
answer. A run can be corrected while the metering worker keeps it, days after its last change.
"""


@router.get("/corrections", summary="What was corrected, newest first (operators)")
async def corrections(
    session: ReadDep,
    stores: StoresDep,
    principal: PrincipalDep,
    *,
    org_id: Annotated[str, Query(max_length=128, description="Only this org's")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> CorrectionPage:
    return await service.page(session, stores, principal, org_id=org_id, limit=limit, cursor=cursor)


@router.post("/corrections:preview", summary="What a correction would change (operators)")
async def preview(
    terms: CorrectionTerms, session: ReadDep, stores: StoresDep, control: ControlDep, principal: PrincipalDep
) -> CorrectionPreview:
    return await service.preview(session, stores, principal, terms, control.clock())


@router.post("/corrections", status_code=201, summary="Correct a run (operators)", description=_SEND)
async def correct(
    *,
    terms: CorrectionTerms,
    session: WriteDep,
    stores: StoresDep,
    control: ControlDep,
    principal: PrincipalDep,
    key: IdempotencyKeyDep,
) -> CorrectionView:
    return await service.send(session, stores, principal, terms, key=key, now_ms=control.clock())
