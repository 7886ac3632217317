"""The gateway's public routes. They parse and answer; `RunService` decides."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from gateway import bodies, openapi, streaming
from gateway.access import CHANNEL, AccessControl
from gateway.answers import Answer
from gateway.errors import MeteringUnavailable
from gateway.execution import Run
from gateway.keys import Caller
from gateway.requests import parse
from gateway.service import Order, RunService
from gateway.widget.endpoints import address_of
from gateway.widget.requests import idempotency_key, of_visitor
from gateway.widget.service import WidgetSessions
from kit.hot_routes import PlainRoute, StreamedResponse
from kit.problems import InvalidRequest
from kit.spool import SpoolFull
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
    return await _whole(request, begun)


async def _order(request: Request) -> Order:
    caller = await _caller(request, "runs:write")
    body = await bodies.read(request, request.app.state.settings.max_body_bytes)
    asked, repeatable = parse(body), _idempotency_key(request)
    if caller.key.kind == "widget":
        asked, repeatable = of_visitor(caller, asked), idempotency_key(caller, repeatable)
        sessions: WidgetSessions = request.app.state.sessions
        await sessions.take_run(caller, address_of(request))
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


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if len(key) > 255:
        raise InvalidRequest("Idempotency-Key may have at most 255 characters")
    return key


async def _whole(request: Request, run: Run) -> Response:
    """Wait for the run's answer, or for the client to go away, which cancels the run."""
    answering = asyncio.ensure_future(run.answer())
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            run.cancel("client_disconnected")
        answer = await answering
    except SpoolFull as error:
        raise MeteringUnavailable(run_id=run.lease.run_id, headers={"Retry-After": "5"}) from error
    finally:
        leaving.cancel()
    return _answered(answer, run.headers)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


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
