"""`POST /v1/runs/{run_id}/feedback`: what somebody thought of an answer, while the answer is kept."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta, Struct

from gateway import bodies
from gateway.access import AccessControl
from gateway.errors import MeteringUnavailable
from gateway.openapi import BEARER, KEY, PROBLEM
from gateway.service import RunService
from gateway.widget.endpoints import address_of
from gateway.widget.service import WidgetSessions
from kit import clock
from kit.problems import InvalidRequest
from kit.publisher import Publisher
from kit.redaction import redacted
from kit.settings import ConversationSettings, load
from kit.spool import SpoolFull
from schemas import topics
from schemas.conversations import FeedbackEvent, Rating

router = APIRouter()

_MAX_BODY = 16_384
_MAX_COMMENT = 2_000


class Feedback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A thumb, up or down, and why. The latest word on a run counts."""

    rating: Rating
    comment: Annotated[str, Meta(max_length=_MAX_COMMENT)] = ""


_decode = msgspec.json.Decoder(Feedback).decode
_SCHEMA = msgspec.json.schema_components((Feedback,), ref_template="#/components/schemas/{name}")[1]
_OPENAPI: dict[str, Any] = {
    "parameters": [KEY, BEARER],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _SCHEMA["Feedback"],
                "example": {"rating": "down", "comment": "It took four days."},
            }
        },
    },
}


@router.post(
    "/v1/runs/{run_id}/feedback",
    status_code=202,
    summary="Say what you thought of an answer",
    openapi_extra=_OPENAPI,
    responses={"4XX": PROBLEM, "5XX": PROBLEM},
)
async def give_feedback(run_id: str, request: Request) -> Response:
    access: AccessControl = request.app.state.access
    runs: RunService = request.app.state.runs
    publisher: Publisher = request.app.state.publisher
    caller = await access.caller(request, "runs:write")
    if caller.key.kind == "widget":
        sessions: WidgetSessions = request.app.state.sessions
        await sessions.take("feedback", caller, address_of(request))
    try:
        said = _decode(await bodies.read(request, _MAX_BODY))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(str(error)) from None
    await runs.find(caller, run_id)
    key = caller.key
    event = FeedbackEvent(
        tenant_id=key.tenant_id,
        org_id=key.org_id,
        instance_id=key.instance_id,
        run_id=run_id,
        rating=said.rating,
        comment=_stored(said.comment),
        occurred_at_ms=clock.now_ms(),
    )
    try:
        await publisher.publish(topics.CONVERSATION_FEEDBACK, key.org_id, event)
    except SpoolFull as error:
        raise MeteringUnavailable(headers={"Retry-After": "5"}) from error
    return Response(status_code=202)


def _stored(comment: str) -> str:
    """Return a comment as it may be kept: like transcripts, without personal data."""
    return redacted(comment)[:_MAX_COMMENT] if load(ConversationSettings).redact else comment
