"""The installation under test, a browser in front of it, and a visitor who is signed in."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parent))

from environment import Target, current
from pages.console import Console

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
_START_S = 240


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The installation; where `local` does not answer, a stack of its own that ends with the tests."""
    named = current()
    if named.name != "local" or _answers(named.base_url):
        yield named
        return
    data_dir = tmp_path_factory.mktemp("stack")
    environment = {
        # Where NiceGUI sees a test running, it serves nothing.
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "NICEGUI"))},
        "RUNMETER_DATA_DIR": str(data_dir),
        "RUNMETER_PAYMENTS_DUMMY": "true",
    }
    started = _runmeter("up", environment)
    try:
        assert started.returncode == 0, started.stderr
        urls = json.loads(started.stdout)
        urls = urls.get("urls", urls)
        yield dataclasses.replace(
            named,
            base_url=urls["console_url"],
            cp_url=urls["console_api_url"],
            gateway_url=urls["gateway_url"],
        )
    finally:
        _runmeter("down", environment)


def _runmeter(verb: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    arguments = ["--detach", "--json"] if verb == "up" else []
    return subprocess.run(
        [sys.executable, "-m", "stack.cli", verb, *arguments],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_START_S,
        check=False,
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=3) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the PATH: make browser")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = await browser.new_context(viewport={"width": 1360, "height": 900}, locale="en-US")
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


@pytest_asyncio.fixture
async def console(page: Page, target: Target) -> Console:
    """The console with somebody signed in; what its pages complain about is collected."""
    opened = Console(page, target)
    await opened.sign_in()
    return opened


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
