"""Who may give a runner orders: gateways, which show a service token. Its health and metrics are open."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from kit.http_app import problem_response
from kit.problems import Unauthorized
from kit.service_tokens import ServiceTokens

_OPEN = frozenset({"/healthz", "/readyz", "/metrics"})
_DETAIL = (
    "send one of the runner's RUNMETER_RUNNER_SERVICE_TOKENS as a bearer token; gateways are told the same"
)


class OnlyServices:
    """Answers 401 to whoever shows no token of `app.state.service_tokens`, before anything is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _OPEN or _shown(scope):
            await self._app(scope, receive, send)
            return
        refusal = problem_response(Unauthorized(_DETAIL, headers={"WWW-Authenticate": "Bearer"}))
        await refusal(scope, receive, send)


def _shown(scope: Scope) -> bool:
    tokens: ServiceTokens = scope["app"].state.service_tokens
    return tokens.opens(next((value for name, value in scope["headers"] if name == b"authorization"), b""))
