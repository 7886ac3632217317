"""A web site on loopback: pages, redirects, a robots.txt, and a log of who was here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from kit.safe_http import FetchLimits

PROMISED = 200_000_000
PIECE = b"word " * 20_000


@dataclass
class Site:
    """`pages`: path → (content type, body), or a path to redirect to."""

    port: int = 0
    pages: dict[str, tuple[str, bytes] | str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    slow_s: float = 0
    #: Paths that are answered with status 500.
    failing: set[str] = field(default_factory=set)
    #: Paths that send so many bytes of the 200 MB that they promise, and what comes of the rest.
    partly: dict[str, tuple[int, Literal["stall", "cut"]]] = field(default_factory=dict)
    sent_bytes: int = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def add(self, path: str, body: str, content_type: str = "text/html") -> None:
        self.pages[path] = (content_type, body.encode())

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        await asyncio.sleep(self.slow_s)
        if request.path in self.partly:
            return await self._part(request, *self.partly[request.path])
        if request.path in self.failing:
            return web.Response(status=500)
        page = self.pages.get(request.path)
        if page is None:
            return web.Response(status=404)
        if isinstance(page, str):
            return web.Response(status=302, headers={"Location": page})
        response = web.Response(body=page[1], headers={"Content-Type": page[0]})
        if request.path.startswith("/packed"):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def _part(
        self, request: web.Request, size: int, then: Literal["stall", "cut"]
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/plain", "Content-Length": str(PROMISED)})
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(size // len(PIECE)):
                await answer.write(PIECE)
                self.sent_bytes += len(PIECE)
            while then == "stall" and not _gone(request):  # noqa: ASYNC110 - a socket has no event
                await asyncio.sleep(0.05)
        if request.transport is not None:
            request.transport.abort()
        return answer


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


@asynccontextmanager
async def running() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        await runner.cleanup()


def limits(**changed: float) -> FetchLimits:
    return FetchLimits(
        timeout_s=changed.get("timeout_s", 5),
        max_bytes=int(changed.get("max_bytes", 100_000)),
        max_redirects=int(changed.get("max_redirects", 3)),
        user_agent="RunmeterBot/1.0",
    )
