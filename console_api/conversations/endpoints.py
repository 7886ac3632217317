"""`/api/v1/instances/{id}/conversations…`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.conversations import service
from console_api.conversations.models import ConversationPage, Transcript
from console_api.conversations.running import ConversationsDep
from schemas.conversations import Rating

router = APIRouter(prefix="/api/v1/instances/{instance_id}", tags=["conversations"])

InstanceId = Annotated[str, Path(min_length=1, max_length=128, examples=["inst_1"])]
ConversationId = Annotated[str, Path(min_length=1, max_length=128, examples=["conv_7d1f"])]


@router.get("/conversations", summary="The conversations of an instance, the latest first")
async def conversations(
    *,
    instance_id: InstanceId,
    session: ReadDep,
    control: ControlDep,
    known: ConversationsDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
    rating: Annotated[Rating | None, Query(description="Only those with an answer rated so")] = None,
) -> ConversationPage:
    return await service.page(
        session,
        known,
        principal,
        instance_id,
        limit=limit,
        cursor=cursor,
        rating=rating,
        now_ms=control.clock(),
    )


@router.get("/conversations/{conversation_id}", summary="What was said, and what was thought of it")
async def conversation(
    instance_id: InstanceId,
    conversation_id: ConversationId,
    session: ReadDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> Transcript:
    return await service.one(session, principal, instance_id, conversation_id, control.clock())


@router.delete(
    "/conversations/{conversation_id}", status_code=204, summary="Delete it, with what it remembers"
)
async def delete(
    *,
    instance_id: InstanceId,
    conversation_id: ConversationId,
    session: WriteDep,
    control: ControlDep,
    known: ConversationsDep,
    principal: PrincipalDep,
) -> Response:
    await service.delete(
        session,
        known,
        principal,
        instance_id,
        conversation_id=conversation_id,
        now_ms=control.clock(),
    )
    return Response(status_code=204)
