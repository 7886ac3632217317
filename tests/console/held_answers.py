"""In front of the API: passes everything on, and keeps the first answer of a path until it is let go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from browser_stack import free_port


class HeldAnswers:
    """`passed` counts the answers given, by the last part of their path."""

    def __init__(self, http: aiohttp.ClientSession, api_url: str, held: str) -> None:
        self._http = http
        self._api_url = api_url
        self._held = held
        self._met = False
        self._let_go = asyncio.Event()
        self.passed = Counter[str]()

    def let_go(self) -> None:
        self._let_go.set()

    async def pass_on(self, request: web.Request) -> web.Response:
        async with self._http.request(
            request.method,
            self._api_url + request.path_qs,
            headers=request.headers,
            data=await request.read(),
        ) as answer:
            body, kind = await answer.read(), answer.content_type
        name = request.path.rpartition("/")[2]
        if name == self._held and not self._met:
            self._met = True
            await self._let_go.wait()
        self.passed[name] += 1
        return web.Response(status=answer.status, body=body, content_type=kind)


@asynccontextmanager
async def held_answers(api_url: str, path: str) -> AsyncIterator[tuple[str, HeldAnswers]]:
    """Lend the address to call instead of the API's, and what is done there."""
    port = free_port()
    async with aiohttp.ClientSession() as http:
        held = HeldAnswers(http, api_url, path)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", held.pass_on)
        serving = web.AppRunner(app, shutdown_timeout=0.1)
        await serving.setup()
        await web.TCPSite(serving, "127.0.0.1", port).start()
        try:
            yield f"http://127.0.0.1:{port}", held
        finally:
            held.let_go()
            await serving.cleanup()
