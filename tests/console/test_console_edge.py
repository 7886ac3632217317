"""What the console lets in, and what it keeps of sessions: bounded both."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from browser_stack import console_process, free_port
from fake_issuer import issuer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from waiting import eventually

from console.edge import MAX_BODY_BYTES, MAX_FILE_BYTES, Edge
from console.session_files import COOKIE_S, forget_ended

_UPLOAD = "/_nicegui/client/c1/upload/7"
_NOWHERE = "http://127.0.0.1:9"


async def _counted(request: Request) -> Response:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
    return PlainTextResponse(str(count))


async def _passed_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


async def _sent(path: str, size: int, *, declared: bool) -> httpx.Response:
    """Send a body of a size to a server behind the edge, with middleware between as NiceGUI has it."""
    app = Starlette(
        routes=[Route(route, _counted, methods=["POST"]) for route in (_UPLOAD, "/other")],
        middleware=[
            Middleware(Edge, gateway_url="http://gateway.test"),
            Middleware(BaseHTTPMiddleware, dispatch=_passed_on),
        ],
    )

    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, size, 65_536):
            yield bytes(min(65_536, size - begin))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console.test") as http:
        return await http.post(path, content=bytes(size) if declared else pieces())


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("path", "most"), [(_UPLOAD, MAX_FILE_BYTES + 65_536), ("/other", MAX_BODY_BYTES)])
async def test_a_body_is_refused_by_what_it_says_and_by_what_comes(
    path: str, most: int, declared: bool
) -> None:
    taken = await _sent(path, most, declared=declared)
    assert (taken.status_code, taken.text) == (200, str(most))

    refused = await _sent(path, most + 1, declared=declared)
    assert refused.status_code == 413
    assert "at most" in refused.text
    assert refused.headers["X-Frame-Options"] == "DENY"


def test_sessions_whose_cookies_ended_are_forgotten(tmp_path: Path) -> None:
    ages = {"storage-user-old.json": 3 * COOKIE_S, "storage-user-new.json": 60, "secret": 3 * COOKIE_S}
    for name, age_s in ages.items():
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)

    assert forget_ended(tmp_path) == 1

    assert {path.name for path in tmp_path.iterdir()} == {"storage-user-new.json", "secret"}


async def test_a_console_forgets_old_sessions_and_keeps_none_of_visitors_who_only_look(
    tmp_path: Path,
) -> None:
    sessions = tmp_path / "console"
    sessions.mkdir()
    old = sessions / "storage-user-old.json"
    old.write_text('{"access_token": "token"}')
    os.utime(old, (0, 0))
    async with issuer("at_1") as at:
        port = free_port()
        settings = {
            "RUNMETER_CONSOLE_OIDC_ISSUER": at.url,
            "RUNMETER_CONSOLE_BASE_URL": f"http://127.0.0.1:{port}",
        }
        async with console_process(_NOWHERE, tmp_path, settings=settings, port=port) as url:
            for _ in range(3):
                async with (
                    aiohttp.ClientSession() as http,
                    http.get(f"{url}/sign-in/start", allow_redirects=False) as answer,
                ):
                    assert answer.headers["Location"].startswith(f"{at.url}/authorize")

            async def forgotten() -> bool:
                return not old.exists()

            await eventually(forgotten, "the old session is forgotten")
    # The console has ended, so that whatever it had to write is written.
    assert not list(sessions.glob("storage-user-*"))
