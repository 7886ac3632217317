"""Fixtures: the console as its own process over the real API, and Chromium in front of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from containers import free_ports
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from waiting import PATIENCE_S, patient

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    return free_ports("one")["one"]


@asynccontextmanager
async def console_process(
    api_url: str,
    data_dir: Path,
    token: str = "",
    settings: Mapping[str, str] | None = None,
    port: int | None = None,
) -> AsyncIterator[str]:
    """Run `python -m console` against an API; yield its base URL."""
    port = port or free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "NICEGUI"))},
        "RUNMETER_CONSOLE_PORT": str(port),
        "RUNMETER_CONSOLE_API_URL": api_url,
        "RUNMETER_CONSOLE_ACCESS_TOKEN": token,
        "RUNMETER_DATA_DIR": str(data_dir),
        **(settings or {}),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "console", cwd=ROOT, env=environment)
    try:
        await _answers(f"http://127.0.0.1:{port}/healthz", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_S)


async def _answers(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        while process.returncode is None:
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
    raise RuntimeError(f"the console ended with {process.returncode}")


@pytest_asyncio.fixture(scope="session")
async def console_url(base_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with console_process(base_url, tmp_path_factory.mktemp("console")) as url:
        yield url


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the PATH")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = patient(await browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US"))
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


async def sign_in(page: Page, console_url: str, token: str) -> None:
    """Sign in by hand, as a visitor does."""
    await page.goto(f"{console_url}/")
    await page.get_by_label("Access token").fill(token)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{console_url}/account/instances")
