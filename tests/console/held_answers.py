"""In front of the API: passes everything on, and keeps one answer until it is let go."""

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

    def __init__(self, http: aiohttp.ClientSession, api_url: str) -> None:
        self._http = http
        self._api_url = api_url
        self._next = ""
        self._let_go = asyncio.Event()
        self.passed = Counter[str]()
        self.is_held = asyncio.Event()
        #: Whoever asked for the answer that was held did not wait for it.
        self.is_in_vain = False

    def hold_next(self, name: str) -> None:
        """Hold the next answer of a path that ends so."""
        self._next = name

    def let_go(self) -> None:
        self._let_go.set()

    async def pass_on(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        if name == self._next:
            self._next = ""
            self.is_held.set()
            await self._let_go.wait()
            self.is_in_vain = request.transport is None or request.transport.is_closing()
        async with self._http.request(
            request.method,
            self._api_url + request.path_qs,
            headers=request.headers,
            data=await request.read(),
        ) as answer:
            body, kind = await answer.read(), answer.content_type
        self.passed[name] += 1
        return web.Response(status=answer.status, body=body, content_type=kind)


@asynccontextmanager
async def held_answers(api_url: str) -> AsyncIterator[tuple[str, HeldAnswers]]:
    """Lend the address to call instead of the API's, and what is done there."""
    port = free_port()
    async with aiohttp.ClientSession() as http:
        held = HeldAnswers(http, api_url)
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
