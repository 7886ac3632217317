"""Put the console together: pages, static files, health, headers, session secret."""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path

from fastapi.responses import JSONResponse
from nicegui import app
from nicegui.storage import Storage
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api import ApiClient
from console.live import LiveFeeds
from console.pages import instances, live_usage, problems, sign_in
from console.pages.frame import STATIC_DIR, static_url
from console.services import Services
from console.session import Sessions
from kit.settings import ConsoleSettings

#: NiceGUI compiles templates in the browser, hence 'unsafe-eval'; nothing is loaded from elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


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
    services = Services(api, LiveFeeds(api), Sessions(shared_token))
    for page in (instances, live_usage, sign_in, problems):
        page.register(services)
    app.add_static_files(static_url(), STATIC_DIR, max_cache_age=31_536_000)
    app.add_middleware(_SecurityHeaders)
    app.add_api_route("/healthz", _health)
    app.on_shutdown(api.close)
    return services


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


class _SecurityHeaders:
    """Adds headers to every answer; plain ASGI, so web sockets pass."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._inner(scope, receive, secured if scope["type"] == "http" else send)
