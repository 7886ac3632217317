"""A page of somebody else: another origin than the console's and the gateway's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

_PAGE = "<!doctype html><html lang=en><head><title>A shop</title></head><body><h1>A shop</h1>{}</body></html>"


class Elsewhere:
    """Serves one page; `snippet` is what its owner pasted into it."""

    def __init__(self) -> None:
        self.origin = ""
        self.snippet = ""

    async def serve(self, request: web.Request) -> web.Response:
        return web.Response(text=_PAGE.format(self.snippet), content_type="text/html")


@asynccontextmanager
async def elsewhere() -> AsyncIterator[Elsewhere]:
    """Serve the page at an origin of its own until the block ends."""
    page = Elsewhere()
    app = web.Application()
    app.router.add_get("/", page.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    page.origin = f"http://localhost:{runner.addresses[0][1]}"
    try:
        yield page
    finally:
        await runner.cleanup()
