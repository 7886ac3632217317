"""`POST /v1/events`, and OpenMeter's `POST /api/v1/events`: CloudEvents over HTTP in all three modes."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Request, Response

from gateway import bodies
from gateway.access import AccessControl
from gateway.intake import models, openapi
from gateway.intake.errors import InvalidEvent, UnsupportedMediaType
from gateway.intake.models import BatchResult
from gateway.intake.service import Intake
from gateway.keys import Caller
from kit.hot_routes import PlainRoute

router = APIRouter()

_SINGLE, _BATCH, _JSON = (
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/json",
)
#: Attributes of an event whose body is its data (binary mode), as headers `ce-…`.
_ATTRIBUTES = ("id", "source", "specversion", "type", "time", "subject")


async def report_runs(request: Request) -> Response:
    result = await _taken(request)
    if result is None:
        return Response(status_code=204)
    status = 207 if result.rejected else 200
    return Response(models.encode(result), status_code=status, media_type=_JSON)


async def report_runs_as_to_openmeter(request: Request) -> Response:
    result = await _taken(request)
    if result is not None and result.rejected:
        first = next(one.error for one in result.results if one.error is not None)
        raise InvalidEvent(
            f"{result.rejected} events were not taken, the first because of: {first.detail}",
            **msgspec.to_builtins(result),
        )
    return Response(status_code=204)


for path, endpoint, described in (
    ("/v1/events", report_runs, openapi.REPORT_RUNS),
    ("/api/v1/events", report_runs_as_to_openmeter, openapi.REPORT_RUNS_AS_TO_OPENMETER),
):
    router.add_api_route(path, endpoint, methods=["POST"], route_class_override=PlainRoute, **described)


async def _taken(request: Request) -> BatchResult | None:
    """Take what the request reports; return what became of each event, if it is a batch."""
    access: AccessControl = request.app.state.access
    intake: Intake = request.app.state.intake
    caller = await access.secret(request, "usage:write", "intake")
    # Before anything is its turn: a sender that is slow keeps nobody else from theirs.
    body = await bodies.read(request, request.app.state.settings.max_body_bytes)
    with intake.turn():
        return await _read(request, intake, caller, body)


async def _read(request: Request, intake: Intake, caller: Caller, body: bytes) -> BatchResult | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if "ce-specversion" in request.headers and kind in ("", _JSON):
        await intake.take(caller, _of_headers(request, body))
    elif kind == _BATCH or (kind == _JSON and body.lstrip()[:1] == b"["):
        return await intake.take_all(caller, _batch(body))
    elif kind in (_SINGLE, _JSON):
        await intake.take(caller, body)
    else:
        raise UnsupportedMediaType(f"send {_SINGLE}, {_BATCH}, or {_JSON} with the headers ce-…")
    return None


def _batch(body: bytes) -> list[msgspec.Raw]:
    try:
        return models.events_of(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"the batch is no JSON array: {error}") from None


def _of_headers(request: Request, body: bytes) -> bytes:
    """Return a binary-mode event in its JSON form.

    Its headers are percent-encoded (CloudEvents' HTTP binding, 3.1.3.2).
    """
    event: dict[str, Any] = {
        name: unquote(request.headers[f"ce-{name}"])
        for name in _ATTRIBUTES
        if f"ce-{name}" in request.headers
    }
    try:
        return models.encode({**event, "data": msgspec.json.decode(body)})
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidEvent(f"the body is not the event's data as JSON: {error}") from None
