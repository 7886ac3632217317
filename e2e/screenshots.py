"""`make screenshots`: a picture of every page, light, dark and on a phone, into `docs/images`.

The stack that runs is used, or one is started and stopped again. The runs on the pictures are real ones, sent
just before.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from environment import Target, current
from pages.console import Console
from pages.instance import TABS
from playwright.async_api import Browser, Page, async_playwright, expect
from test_every_page import OPERATOR, OPERATORS_PAGES, PAGES

_OUT = Path(__file__).resolve().parents[1] / "docs" / "images"
_USER = "ada@example.com"
_RUNS = 160
_AT_ONCE = 8
_QUESTIONS = (
    "What are your opening hours?",
    "What is 17 * 23?",
    "How long does a delivery take, and can I choose the day?",
    "Summarise your return policy in three sentences.",
    "Which of your plans suits a shop with four people?",
)
_LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2},
}
#: Live charts begin with the minutes before the page was opened; this is until they are drawn.
_DRAWN_MS = 1_500
# The page objects wait as long as their caller does; outside of pytest that would be five seconds.
expect.set_options(timeout=90_000)


def _runmeter(*arguments: str) -> str:
    asked = [sys.executable, "-m", "stack.cli", *arguments]
    return subprocess.run(asked, capture_output=True, text=True, timeout=300, check=False).stdout


async def _traffic(stack: dict[str, Any]) -> None:
    chance, limit = random.Random(7), asyncio.Semaphore(_AT_ONCE)
    async with httpx.AsyncClient(timeout=60) as client:

        async def one(key: str, question: str, longest: int) -> None:
            async with limit:
                answer = await client.post(
                    f"{stack['gateway_url']}/v1/runs",
                    json={"input": question, "max_tokens": longest},
                    headers={"X-API-Key": key},
                )
                answer.raise_for_status()

        keys = [instance["api_key"] for instance in stack["demo"]["instances"]]
        async with asyncio.TaskGroup() as runs:
            for _ in range(_RUNS):
                runs.create_task(one(chance.choice(keys), chance.choice(_QUESTIONS), chance.randint(20, 300)))


class _Photographer:
    def __init__(self, browser: Browser, target: Target) -> None:
        self._browser = browser
        self._target = target

    async def take_all(self) -> None:
        first = await self._console("light")
        instance = (await first.first_instance()).path
        run = await first.page.locator("a[href*='/runs/']").first.get_attribute("href", timeout=30_000)
        paths = {
            **{path.removeprefix("/account/"): path for path in PAGES},
            **{f"instance-{tab or 'overview'}": f"{instance}/{tab}".rstrip("/") for tab in TABS},
            "run": str(run),
        }
        await first.page.context.close()
        for look in _LOOKS:
            console = await self._console(look)
            for name, path in paths.items():
                await console.open(path)
                await self._shoot(console.page, f"{name}-{look}")
            await console.page.context.close()
        await self._take_operators()

    async def _take_operators(self) -> None:
        desk = dataclasses.replace(self._target, user=OPERATOR)
        for look in _LOOKS:
            console = await self._console(look, desk)
            if look == "light":
                await self._reconcile(console)
            for path in OPERATORS_PAGES:
                await console.open(path)
                await self._shoot(console.page, f"operate-{path.rpartition('/')[2]}-{look}")
            await console.page.context.close()

    async def _reconcile(self, console: Console) -> None:
        await console.open("/operate/reconcile")
        await console.page.get_by_test_id("reconcile").click()
        await console.page.get_by_test_id("confirm").click()
        await expect(console.page.get_by_test_id("reconciliation").first).to_contain_text(
            "Exact", timeout=90_000
        )

    async def _console(self, look: str, target: Target | None = None) -> Console:
        context = await self._browser.new_context(locale="en-US", **_LOOKS[look])
        console = Console(await context.new_page(), target or self._target)
        if look == "light" and target is None:
            await console.page.goto(f"{self._target.base_url}/sign-in")
            await self._shoot(console.page, "sign-in-light")
        await console.sign_in()
        return console

    async def _shoot(self, page: Page, name: str) -> None:
        await expect(page.get_by_test_id("loading")).to_have_count(0, timeout=30_000)
        await page.wait_for_timeout(_DRAWN_MS)
        await page.screenshot(path=_OUT / f"{name}.jpg", type="jpeg", quality=82, full_page=True)
        print(f"  {name}.jpg")


async def _main(stack: dict[str, Any]) -> None:
    await _traffic(stack)
    target = dataclasses.replace(
        current(),
        base_url=stack["console_url"],
        gateway_url=stack["gateway_url"],
        user=_USER,
        password=Path(stack["sign_in"]["password_file"]).read_text().strip(),  # noqa: ASYNC240 - once
    )
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        await _Photographer(browser, target).take_all()
        await browser.close()


def main() -> None:
    running = re.search(r"{.*", _runmeter("status", "--json"), re.DOTALL)
    stack = json.loads(running.group()) if running else {}
    started = not stack.get("console_url")
    if started:
        stack = json.loads(_runmeter("up", "--detach", "--json"))
    _OUT.mkdir(exist_ok=True)
    try:
        asyncio.run(_main(stack))
    finally:
        if started:
            _runmeter("down")


if __name__ == "__main__":
    main()
