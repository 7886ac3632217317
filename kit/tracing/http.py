"""The span of an HTTP request. Installed only where traces are exported."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit import tracing

_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})


class Traced:
    """Goes on with the trace that a request names, or begins one. Neither path nor query is told: by the
    route's template it is known what was asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        method = scope["method"]
        with tracing.span(
            method,
            tracing.SpanKind.SERVER,
            {"http.request.method": method},
            tracing.received(told.decode("latin-1")),
        ) as current:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    current.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self._app(scope, receive, noting)
            finally:
                route = getattr(scope.get("route"), "path", "")
                if route:
                    current.update_name(f"{method} {route}")
                    current.set_attribute("http.route", route)
