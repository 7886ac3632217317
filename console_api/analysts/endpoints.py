"""`POST /api/v1/sql`: one SELECT over the analysts' views, for operators and analysts of a tenant."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from console_api.analysts import service
from console_api.analysts.models import Answer, Question
from console_api.auth.service import PrincipalDep
from console_api.stores import StoresDep

router = APIRouter(prefix="/api/v1", tags=["analysts"])

_MEDIA_TYPES = {"json": "application/json", "csv": "text/csv"}


@router.post(
    "/sql",
    summary="One SELECT over your tenant's history (operators and analysts)",
    response_model=Answer,
    responses={200: {"content": {"text/csv": {}}}},
)
async def sql(question: Question, stores: StoresDep, principal: PrincipalDep) -> StreamingResponse:
    pieces = await service.answer(stores, principal, question)
    return StreamingResponse(pieces, media_type=_MEDIA_TYPES[question.format])
