"""Put the console together: pages, static files, health, headers, session secret."""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse
from nicegui import app
from nicegui.storage import Storage
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api import ApiClient
from console.live import LiveFeeds
from console.oidc import OidcClient
from console.pages import (
    audit,
    buy,
    downloads,
    instance_frame,
    instances,
    operate,
    orders,
    preview,
    problems,
    run,
    sign_in,
    team,
    wallet,
)
from console.pages.frame import STATIC_DIR, static_url
from console.services import Services
from console.session import Sessions
from kit.settings import ConsoleSettings

#: NiceGUI compiles templates in the browser, hence 'unsafe-eval'; nothing is loaded from elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: https:; font-src 'self' data:; connect-src 'self' ws: wss:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: A logo may lie anywhere (https); the widget's script, style and calls come from the gateway.
_PREVIEW = "/preview/"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

_PAGES: tuple[Any, ...] = (
    instances,
    instance_frame,
    run,
    wallet,
    buy,
    orders,
    team,
    audit,
    operate,
    downloads,
    preview,
    sign_in,
    problems,
)


def build(settings: ConsoleSettings, sessions_dir: Path) -> Services:
    """Register every page with NiceGUI's app. Raises `SystemExit` when the settings are unsafe."""
    shared_token = settings.access_token.get_secret_value()
    if shared_token and not is_loopback(settings.host):
        raise SystemExit(
            "RUNMETER_CONSOLE_ACCESS_TOKEN signs every visitor in, so RUNMETER_CONSOLE_HOST must be a "
            "loopback address; unset the token to let visitors sign in with their own."
        )
    sessions_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    Storage.path = sessions_dir
    api = ApiClient(settings.api_url)
    oidc = _oidc(settings)
    services = Services(api, LiveFeeds(), Sessions(api, shared_token, oidc), settings.gateway_url.rstrip("/"))
    for page in _PAGES:
        page.register(services)
    # It would stand there for every request in the background, and screen readers have no name for it.
    app.config.quasar_config["loadingBar"]["skipHijack"] = True
    app.add_static_files(static_url(), STATIC_DIR, max_cache_age=31_536_000)
    app.add_middleware(_SecurityHeaders, gateway_url=services.gateway_url)
    app.add_api_route("/healthz", _health)
    app.on_shutdown(api.close)
    return services


def _oidc(settings: ConsoleSettings) -> OidcClient | None:
    if not settings.oidc_issuer:
        return None
    if not settings.base_url:
        raise SystemExit(
            "RUNMETER_CONSOLE_BASE_URL is needed with RUNMETER_CONSOLE_OIDC_ISSUER: the address at which "
            "visitors reach this console, such as https://console.example.com."
        )
    return OidcClient(settings)


def session_secret(sessions_dir: Path) -> str:
    """Return the secret that signs session cookies; it is made once, readable by this user only."""
    path = sessions_dir / "secret"
    if not path.exists():
        sessions_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
    return path.read_text()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _health() -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _preview_policy(gateway_url: str) -> str:
    """Return the policy of a page that holds nothing but the gateway's widget, framed by our own pages."""
    return (
        f"default-src 'none'; script-src {gateway_url}; connect-src {gateway_url}; "
        f"style-src 'unsafe-inline' {gateway_url}; img-src https: data: {gateway_url}; "
        f"font-src {gateway_url}; frame-src {gateway_url}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    )


class _SecurityHeaders:
    """Adds headers to every answer; plain ASGI, so web sockets pass. Whoever has left gets none, quietly."""

    def __init__(self, app: ASGIApp, gateway_url: str) -> None:
        self._inner = app
        self._gateway_url = gateway_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        gone = False

        async def heard() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                framed = scope["path"].startswith(_PREVIEW)
                policy = _preview_policy(self._gateway_url) if framed else _POLICY
                headers.setdefault("Content-Security-Policy", policy)
                headers.setdefault("X-Frame-Options", "SAMEORIGIN" if framed else "DENY")
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._inner(scope, heard, secured)
        except RuntimeError as error:
            # How Starlette's middleware ends a request whose client has left before it was answered.
            if not gone or str(error) != "No response returned.":
                raise
