"""What every request passes: security headers, a body limit, metrics. Plain ASGI, so streams flow through."""

from __future__ import annotations

import logging
import re
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console_api.errors import send_problem
from console_api.metrics import Metrics
from console_api.payments.webhooks.models import MAX_BODY_BYTES as MAX_DELIVERY_BYTES
from kit.problems import BodyTooLarge, Problem

log = logging.getLogger(__name__)

#: Few things here take a large body.
MAX_BODY_BYTES = 65_536
#: What takes more. Of an upload this is the most that any setting allows; the setting itself decides later.
_LARGER = (
    (re.compile(r"/api/v1/webhooks/"), MAX_DELIVERY_BYTES),
    (re.compile(r"/api/v1/instances/[^/]+/sources:upload$"), 1_100_000_000),
    (re.compile(r"/api/v1/instances/[^/]+/sources(?:/[^/]+/content)?$"), 4_194_304),
    # A book with a thousand models of its own.
    (re.compile(r"/api/v1/prices(?::preview)?$"), 524_288),
    # With an OpenAPI document in it.
    (re.compile(r"/api/v1/instances/[^/]+/connectors(?:/[^/]+)?$"), 1_048_576),
)

_UNEXPECTED = "An unexpected error was logged. Try again, or report the time of this answer."
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-site",
    "Cache-Control": "no-store",
}


class Edge:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        answering = False

        async def secured(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                answering = True
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await _with_body_limit(self._app, scope, receive, secured)
        except Exception:
            log.exception("unexpected error", extra={"path": scope["path"]})
            if not answering:
                await send_problem(secured, Problem(_UNEXPECTED))
        finally:
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        if not route.endswith("/live"):
            self._metrics.latency.labels(route).observe(seconds)


class _TooLarge(Exception):
    """More body arrived than allowed."""


async def _with_body_limit(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    limit = next((most for path, most in _LARGER if path.match(scope["path"])), MAX_BODY_BYTES)
    problem = BodyTooLarge(f"Send at most {limit} bytes.", limit_bytes=limit)
    if not declared.isdigit() or int(declared) > limit:
        await send_problem(send, problem)
        return
    received = 0
    answering = False

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _TooLarge
        return message

    async def noting(message: Message) -> None:
        nonlocal answering
        answering = True
        await send(message)

    try:
        await app(scope, limited, noting)
    except _TooLarge:
        if not answering:
            await send_problem(send, problem)
