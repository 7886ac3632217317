"""CORS for the routes that pages call (Fetch standard): the page's own origin, or nothing; never `*`.

A preflight carries no credentials, so it says nothing of whether the page is allowed: any page may ask. What
the request itself answers can be read by pages whose origin the key names, and by no other.
"""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import OriginNotAllowed
from gateway.widget import origins
from kit.http_app import problem_response

_PATHS = ("/v1/widget/", "/v1/runs")
_STATE = "shared_with"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, x-api-key",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
}
_EXPOSED = b"idempotent-replay, ratelimit, ratelimit-policy, retry-after, x-run-id"


def share(request: Request, origin: str) -> None:
    """Let a page of that origin read what the request answers; an empty one lets none."""
    setattr(request.state, _STATE, origin)


class PageCors:
    """Answers preflights and adds the headers of shared answers; requests without an `Origin` pass by."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_from_page(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(origins.the_one(headers.getlist("origin")))(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(b"vary", b"Origin")]
                if origin := state.get(_STATE, ""):
                    added.append((b"access-control-allow-origin", origin.encode()))
                    added.append((b"access-control-expose-headers", _EXPOSED))
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._app(scope, receive, send_shared)


def _is_from_page(scope: Scope) -> bool:
    return scope["path"].startswith(_PATHS) and any(name == b"origin" for name, _ in scope["headers"])


def _preflight(origin: str) -> Response:
    if not origins.is_origin(origin):
        return problem_response(
            OriginNotAllowed("only pages with an origin of their own may ask", headers={"Vary": "Origin"})
        )
    return Response(status_code=204, headers={"Access-Control-Allow-Origin": origin, **_PREFLIGHT})
