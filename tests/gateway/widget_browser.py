"""Chromium on a page of another origin than the gateway's, which embeds the widget under a strict policy."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from containers import free_ports
from gateway_rig import Plane, Service, Tenant
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright
from waiting import patient

CHROMIUM = shutil.which("chromium")
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PAGE = """<!doctype html><html lang="en"><head><title>A shop</title>{script}</head>
<body><h1>A shop</h1><button id="other">Buy</button></body></html>"""


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Shop:
    """A page of `origin` that embeds a widget; `said` is what the browser's console was told."""

    origin: str
    page: Page
    tenant: Tenant
    said: list[str] = field(default_factory=list)

    @property
    def launcher(self) -> Any:
        return self.page.get_by_role("button", name="Open the chat")

    @property
    def dialog(self) -> Any:
        return self.page.get_by_role("dialog")

    @property
    def question(self) -> Any:
        return self.page.get_by_label("Your message")

    @property
    def answers(self) -> Any:
        return self.page.locator(".message.assistant .content")

    @property
    def notice(self) -> Any:
        return self.page.locator(".notice")

    async def ask(self, text: str) -> None:
        await self.question.fill(text)
        await self.question.press("Enter")

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(f"{message.text} {message.location.get('url', '')}")


@contextlib.asynccontextmanager
async def shop(
    plane: Plane, gateway: Service, browser: Browser, *, allowed: bool = True, **options: Any
) -> AsyncIterator[Shop]:
    """Yield a page that is open. `options`: of the tenant, or `context` of the browser's."""
    origin = f"http://localhost:{free_ports('page')['page']}"
    context_options = options.pop("context", {})
    origins = (origin,) if allowed else ("https://elsewhere.example.com",)
    tenant = await plane.tenant(**{"kind": "widget", "allowed_origins": origins, "tools": (), **options})
    async with _served(origin, gateway.url, tenant.key):
        context: BrowserContext = patient(await browser.new_context(locale="en-US", **context_options))
        page = await context.new_page()
        made = Shop(origin, page, tenant)
        page.on("console", made.hear)
        page.on("pageerror", lambda error: made.said.append(f"uncaught: {error}"))
        await page.goto(origin)
        try:
            yield made
        finally:
            await context.close()


@contextlib.asynccontextmanager
async def _served(origin: str, gateway: str, key: str) -> AsyncIterator[None]:
    html = _PAGE.format(script=f'<script src="{gateway}/widget.js" data-key="{key}" async></script>')
    policy = (
        f"default-src 'none'; script-src {gateway}; connect-src {gateway}; require-trusted-types-for 'script'"
    )
    headers = {"Content-Security-Policy": policy, "Cross-Origin-Embedder-Policy": "require-corp"}

    async def shown(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def no_icon(_: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/", shown)
    app.router.add_get("/favicon.ico", no_icon)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "localhost", int(origin.rpartition(":")[2])).start()
    try:
        yield
    finally:
        await runner.cleanup()
