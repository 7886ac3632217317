"""`/api/v1/reconciliations…`: whether all figures agree, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.reconciliations import service
from console_api.reconciliations.models import (
    ReconcileTerms,
    ReconciliationPage,
    ReconciliationReport,
    ReconciliationView,
)

router = APIRouter(prefix="/api/v1", tags=["reconciliations"])

_START = """\
Every run is folded and priced again from the raw events, and compared with counters, wallets, the ledger and
the rows of history, to the micro-credit. It takes seconds to minutes: read it again until it has a verdict.
"""


@router.get("/reconciliations", summary="Reconciliations, newest first (operators)")
async def reconciliations(
    session: ReadDep,
    control: ControlDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> ReconciliationPage:
    return await service.page(session, principal, limit, cursor, control.clock())


@router.get("/reconciliations/{request_id}", summary="One reconciliation, whole (operators)")
async def reconciliation(
    request_id: Annotated[str, Path(min_length=1, max_length=128)],
    session: ReadDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> ReconciliationReport:
    return await service.read(session, principal, request_id, control.clock())


@router.post("/reconciliations", status_code=202, summary="Reconcile now (operators)", description=_START)
async def start(
    terms: ReconcileTerms, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> ReconciliationView:
    return await service.start(session, principal, terms, control.clock())
