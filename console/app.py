"""Put the console together: pages, static files, health, the edge, the end of sessions."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse
from nicegui import app
from nicegui.storage import Storage

from console.api import ApiClient
from console.edge import Edge
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
from console.session_files import forget_ended
from kit.settings import ConsoleSettings

log = logging.getLogger(__name__)

_FORGET_EVERY_S = 3_600

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
    app.add_middleware(Edge, gateway_url=services.gateway_url)
    app.add_api_route("/healthz", _health)
    app.timer(_FORGET_EVERY_S, lambda: _forget(sessions_dir))
    app.on_shutdown(api.close)
    return services


async def _forget(sessions_dir: Path) -> None:
    if ended := await asyncio.to_thread(forget_ended, sessions_dir):
        log.info("ended sessions were deleted", extra={"sessions": ended})


def _oidc(settings: ConsoleSettings) -> OidcClient | None:
    if not settings.oidc_issuer:
        return None
    if not settings.base_url:
        raise SystemExit(
            "RUNMETER_CONSOLE_BASE_URL is needed with RUNMETER_CONSOLE_OIDC_ISSUER: the address at which "
            "visitors reach this console, such as https://console.example.com."
        )
    return OidcClient(settings)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _health() -> JSONResponse:
    return JSONResponse({"status": "ok"})
