"""`/v1/widget/session:init` and `:refresh`, called by pages that a chat widget is embedded in."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response

from gateway import bodies, openapi
from gateway.access import AccessControl
from gateway.widget import origins
from gateway.widget.addresses import client_address
from gateway.widget.models import Session, parse
from gateway.widget.service import WidgetSessions

router = APIRouter()

_MAX_BODY_BYTES = 4_096


@router.post("/v1/widget/session:init", **openapi.BEGIN_SESSION)
async def begin_session(request: Request) -> Response:
    asked = parse(await bodies.read(request, _MAX_BODY_BYTES))
    key = request.headers.get("x-api-key", "") or asked.api_key
    caller = await _access(request).widget_key(request, key)
    origin = origins.the_one(request.headers.getlist("origin"))
    return _answered(
        await _sessions(request).begin(caller, key, origin, address_of(request), asked.visitor_token)
    )


@router.post("/v1/widget/session:refresh", **openapi.REFRESH_SESSION)
async def refresh_session(request: Request) -> Response:
    token, caller = await _access(request).session(request)
    return _answered(await _sessions(request).refresh(token, caller, address_of(request)))


def address_of(request: Request) -> str:
    """Return the address a request came from."""
    peer = request.client.host if request.client else ""
    forwarded = request.headers.getlist("x-forwarded-for")
    return client_address(peer, forwarded, request.app.state.proxies)


def _access(request: Request) -> AccessControl:
    access: AccessControl = request.app.state.access
    return access


def _sessions(request: Request) -> WidgetSessions:
    sessions: WidgetSessions = request.app.state.sessions
    return sessions


def _answered(session: Session) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(session), media_type="application/json", headers=headers)
