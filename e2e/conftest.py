"""The installation under test, a browser in front of it, and a visitor who is signed in."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.resolver import DefaultResolver
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from waiting import patient

sys.path.insert(0, str(Path(__file__).parent))

from environment import Target, current
from pages.console import Console, Visit

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
#: Who signs in at a local stack, where nobody else is named.
_OWNER = "ada@example.com"


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The installation; where `local` does not answer, the stack that the other suites use, too."""
    named = current()
    if named.name != "local":
        return named
    running = _status() if _answers(named.base_url) else request.getfixturevalue("stack")
    return dataclasses.replace(
        named,
        base_url=running["console_url"],
        cp_url=running["console_api_url"],
        gateway_url=running["gateway_url"],
        user=named.user or _OWNER,
        password=named.password or Path(running["sign_in"]["password_file"]).read_text().strip(),
    )


def _status() -> dict[str, Any]:
    asked = [sys.executable, "-m", "stack.cli", "status", "--json"]
    return dict(json.loads(subprocess.run(asked, capture_output=True, check=True, timeout=60).stdout))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=3) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


@pytest_asyncio.fixture(scope="session")
async def browser(target: Target) -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the PATH: make browser")
    known = ",".join(f"MAP {name} {address}" for name, address in target.hosts.items())
    arguments = [*ARGUMENTS, f"--host-resolver-rules={known}"] if known else ARGUMENTS
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = patient(await browser.new_context(viewport={"width": 1360, "height": 900}, locale="en-US"))
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
async def visitor(browser: Browser, target: Target) -> AsyncIterator[Visit]:
    """Opens the console in a browser of its own as one of the local stack's other users."""
    if target.name != "local":
        pytest.skip("needs several users whose passwords are known: a local stack")
    contexts: list[BrowserContext] = []

    async def visit(user: str) -> Console:
        contexts.append(
            patient(await browser.new_context(viewport={"width": 1360, "height": 900}, locale="en-US"))
        )
        opened = Console(await contexts[-1].new_page(), dataclasses.replace(target, user=user))
        await opened.sign_in()
        return opened

    yield visit
    for context in contexts:
        await context.close()


class _Hosts(DefaultResolver):
    """Knows some names by itself."""

    def __init__(self, known: Mapping[str, str]) -> None:
        super().__init__()
        self._known = known

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
        return await super().resolve(self._known.get(host, host), port, family)


@pytest_asyncio.fixture
async def http(target: Target) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(resolver=_Hosts(target.hosts))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session
