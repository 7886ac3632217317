"""The gateway's public routes. They parse and answer; `RunService` decides."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from gateway import bodies, openapi, streaming, waiting
from gateway.access import CHANNEL, AccessControl
from gateway.answers import Answer
from gateway.keys import Caller
from gateway.requests import idempotency_key, parse
from gateway.service import Order, RunService
from gateway.widget.endpoints import address_of
from gateway.widget.requests import idempotency_key as of_one_visitor
from gateway.widget.requests import of_visitor
from gateway.widget.service import WidgetSessions
from kit.hot_routes import PlainRoute, StreamedResponse
from schemas.directory import KeyScope

router = APIRouter()

_JSON = "application/json"
#: A failed run is still an answered request: 200 says that it was run and metered. Only where nothing of the
#: answer can be used does the status say so.
_STATUS = {"failed": 502, "limit_exceeded": 402}


async def create_run(request: Request) -> Response:
    order = await _order(request)
    begun = await _service(request).begin(order)
    if isinstance(begun, Answer):
        return _repeated(begun, stream=order.request.stream)
    if order.request.stream:
        return StreamedResponse(
            streaming.stream(begun),
            media_type="text/event-stream",
            headers={
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                "X-Run-Id": begun.lease.run_id,
                **begun.headers,
            },
        )
    return _answered(await waiting.answer_of(request, begun), begun.headers)


async def _order(request: Request) -> Order:
    caller = await _caller(request, "runs:write")
    body = await bodies.read(request, request.app.state.settings.max_body_bytes)
    asked, repeatable = parse(body), idempotency_key(request)
    if caller.key.kind == "widget":
        asked, repeatable = of_visitor(caller, asked), of_one_visitor(caller, repeatable)
        sessions: WidgetSessions = request.app.state.sessions
        await sessions.take("runs", caller, address_of(request))
    return Order(caller, asked, CHANNEL[caller.key.kind], repeatable, body)


router.add_api_route(
    "/v1/runs", create_run, methods=["POST"], route_class_override=PlainRoute, **openapi.CREATE_RUN
)


@router.get("/v1/runs/{run_id}", **openapi.GET_RUN)
async def get_run(run_id: str, request: Request) -> Response:
    answer = await _service(request).find(await _caller(request, "runs:read"), run_id)
    return _found(run_id, answer, running="running", status=200)


@router.post("/v1/runs/{run_id}/cancel", **openapi.CANCEL_RUN)
async def cancel_run(run_id: str, request: Request) -> Response:
    answer = await _service(request).cancel(await _caller(request, "runs:write"), run_id)
    return _found(run_id, answer, running="cancelling", status=202)


def _service(request: Request) -> RunService:
    service: RunService = request.app.state.runs
    return service


async def _caller(request: Request, scope: KeyScope) -> Caller:
    access: AccessControl = request.app.state.access
    return await access.caller(request, scope)


def _answered(answer: Answer, headers: dict[str, str]) -> Response:
    status = _STATUS.get(answer.status, 200)
    return Response(msgspec.json.encode(answer), status_code=status, media_type=_JSON, headers=headers)


def _repeated(answer: Answer, *, stream: bool) -> Response:
    headers = {"Idempotent-Replay": "true"}
    if stream:
        return StreamedResponse(streaming.replay(answer), media_type="text/event-stream", headers=headers)
    return _answered(answer, headers)


def _found(run_id: str, answer: Answer | None, *, running: str, status: int) -> Response:
    if answer is not None:
        return Response(msgspec.json.encode(answer), media_type=_JSON)
    body: dict[str, Any] = {"run_id": run_id, "status": running}
    return Response(msgspec.json.encode(body), status_code=status, media_type=_JSON)
