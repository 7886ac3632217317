"""The issuer's HTTP interface."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.clock import Clock, now_ms
from kit.settings import IssuerSettings
from stack.issuer import clients, discovery, pages, password
from stack.issuer.authorization import answer_at
from stack.issuer.discovery import PATHS
from stack.issuer.errors import OAuthError, SentBack
from stack.issuer.sessions import Sessions
from stack.issuer.sign_in import SignIn
from stack.issuer.sign_out import SignOut
from stack.issuer.signing_keys import SigningKeys
from stack.issuer.token_endpoints import TokenEndpoints
from stack.issuer.tokens import Tokens

_LOGIN = "/login"
#: Where people are, who are told of errors on a page.
_PAGES = frozenset({PATHS["authorization_endpoint"], PATHS["end_session_endpoint"], _LOGIN})
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # `no-referrer` would have browsers hide the origin of our own form.
    (b"referrer-policy", b"same-origin"),
)
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


def create_app(settings: IssuerSettings, data_dir: Path, clock: Clock = now_ms) -> Starlette:
    """Return the issuer of a data folder. Raises `SystemExit` with the remedy for settings that are wrong."""
    issuer = settings.issuer_url
    addresses = clients.parse(settings.clients, "RUNMETER_ISSUER_CLIENTS")
    sign_out_addresses = clients.parse(settings.sign_out_uris, "RUNMETER_ISSUER_SIGN_OUT_URIS")
    keys = SigningKeys(data_dir)
    sessions, tokens = Sessions(clock), Tokens(issuer, keys, clock)
    sign_in = SignIn(issuer, addresses, password.of(settings, data_dir), sessions, clock)
    token_endpoints = TokenEndpoints(addresses, sessions, tokens)
    sign_out = SignOut(sign_out_addresses, sessions, tokens)

    async def document(_: Request) -> Response:
        return JSONResponse(discovery.document(issuer))

    async def key_set(_: Request) -> Response:
        return JSONResponse(keys.public())

    async def style(_: Request) -> Response:
        return Response(pages.STYLE, media_type="text/css")

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def sent_back(_: Request, error: Exception) -> Response:
        assert isinstance(error, SentBack)
        answer = {"error": error.code, "error_description": str(error), "state": error.state, "iss": issuer}
        return RedirectResponse(answer_at(error.redirect_uri, **answer), 303)

    both = ["GET", "POST"]
    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", document),
            Route(PATHS["jwks_uri"], key_set),
            Route(PATHS["authorization_endpoint"], sign_in.authorize, methods=both),
            Route(_LOGIN, sign_in.login, methods=["POST"]),
            Route(PATHS["token_endpoint"], token_endpoints.token, methods=["POST"]),
            Route(PATHS["userinfo_endpoint"], token_endpoints.userinfo, methods=both),
            Route(PATHS["end_session_endpoint"], sign_out.end_session, methods=both),
            Route("/style.css", style),
            Route("/healthz", health),
            Route("/readyz", health),
        ],
        middleware=[Middleware(_SafeHeaders)],
        exception_handlers={
            OAuthError: _refused,
            SentBack: sent_back,
            HTTPException: _no_route,
            500: _failed,
        },
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, OAuthError)
    if request.url.path in _PAGES:
        return pages.response(pages.refused(str(error)), error.status, error.headers)
    return error.response()


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return OAuthError(
        "invalid_request",
        "There is nothing here: see /.well-known/openid-configuration.",
        status=error.status_code,
        headers=error.headers,
    ).response()


async def _failed(_: Request, __: Exception) -> Response:
    return OAuthError("server_error", "Something went wrong on our side: see the log.", status=500).response()


class _SafeHeaders:
    """Adds to every answer what keeps it out of caches and frames; a page's own policy stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                added = [*_HEADERS, *([] if _POLICY[0] in given else [_POLICY])]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, sending)
