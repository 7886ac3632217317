"""The web console: how soon a page is there, and what fifty people who watch cost.

Pages are opened in Chromium. The watchers are fifty connections that speak what a browser's page speaks, each
with a session, and so a live stream, of its own: fifty browsers would measure this machine's browsers. Their
console is one process, kept on one core.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import socketio
from aiokafka import AIOKafkaProducer
from bench_events import price_book
from bench_freshness import Probe, encoded_book
from bench_rig import process
from playwright.async_api import Page, async_playwright
from waiting import eventually, until

from kit import redis_client
from kit.settings import RedisSettings
from schemas import keys
from stack import ports

WATCHERS = 50
_OPENINGS = 8
_UPDATES = 20
_PAUSE_S = 0.7
_SETTLED_S = 5
_SOCKET = "/_nicegui_ws/socket.io"
_QUERY = re.compile(r"query: (\{.*?\}),\n")
_TICKS = os.sysconf("SC_CLK_TCK")
_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]

Milliseconds = list[float]


@dataclass
class Watched:
    """What pages and watchers took. Memory is in bytes, delays and times in ms."""

    paint: dict[str, Milliseconds] = field(default_factory=dict)
    interactive: dict[str, Milliseconds] = field(default_factory=dict)
    #: From the acknowledgement of an event to its arrival, of every watcher.
    delays: Milliseconds = field(default_factory=list)
    #: From the acknowledgement to the figure on the screen of a browser among the watchers.
    shown: Milliseconds = field(default_factory=list)
    memory_alone: int = 0
    memory_watched: int = 0
    idle_cpu: float = 0
    busy_cpu: float = 0
    watchers: int = WATCHERS


async def measure(stack: dict[str, Any], folder: Path) -> Watched:
    """Return what was seen of a console in front of the stack's API."""
    found = Watched()
    async with _console(stack, folder) as (url, pid), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        instance = f"/account/instances/{stack['demo']['instance_id']}"
        for name, path in (
            ("My Instances", "/account/instances"),
            ("Overview", instance),
            ("Usage & limits", f"{instance}/usage"),
            ("Wallet", "/account/wallet"),
        ):
            found.paint[name], found.interactive[name] = [], []
            for _ in range(_OPENINGS):
                # A browser without a cache, as of somebody who comes for the first time.
                context = await browser.new_context()
                await _open(await context.new_page(), url + path, name, found)
                await context.close()
        await _watch(stack, found, url, pid, instance, await browser.new_page())
        await browser.close()
    return found


@contextlib.asynccontextmanager
async def _console(stack: dict[str, Any], folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Run a console of its own on one core, that signs everybody in; yield its address and process."""
    port = ports.choose({"console": 0}, {})["console"]
    url = f"http://127.0.0.1:{port}"
    env = {
        **os.environ,
        "RUNMETER_CONSOLE_PORT": str(port),
        "RUNMETER_CONSOLE_API_URL": stack["console_api_url"],
        "RUNMETER_CONSOLE_ACCESS_TOKEN": stack["demo"]["admin_token"],
        "RUNMETER_DATA_DIR": str(folder / "console"),
    }
    with process(["-m", "console"], env, folder / "console.log") as running:
        os.sched_setaffinity(running.pid, {min(os.sched_getaffinity(0))})
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/healthz") as answer:
                        return answer.status == 200
                return False

            await eventually(answers, "the console answers")
        yield url, running.pid


async def _open(page: Page, url: str, name: str, found: Watched) -> None:
    """Open a page. Interactive: its content is there, and its connection, over which presses travel."""
    await page.goto(url, wait_until="commit")
    await page.wait_for_function(
        "() => window.did_handshake && document.querySelector('main h1')"
        " && !document.querySelector('[data-testid=loading]')",
        polling="raf",
    )
    found.interactive[name].append(await page.evaluate("performance.now()"))
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    await page.wait_for_function(f"() => {paint} !== undefined")
    found.paint[name].append(await page.evaluate(paint))


class _Watcher:
    """One open console: a page that was loaded, and its socket."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = socketio.AsyncClient(reconnection=False)
        self._client.on("run_javascript", self._heard)
        self.arrivals: list[tuple[float, str]] = []

    async def open(self, path: str) -> None:
        # A jar of its own: another visitor.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(self._url + path) as answer:
                page = await answer.text()
            cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in session.cookie_jar)
        told = _QUERY.search(page)
        assert told is not None, "this NiceGUI tells pages otherwise how to connect"
        asked = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in ast.literal_eval(told[1]).items()
        }
        asked |= {"tab_id": os.urandom(8).hex(), "document_id": os.urandom(8).hex(), "old_tab_id": ""}
        await self._client.connect(
            f"{self._url}?{urlencode(asked)}",
            headers={"Cookie": cookies},
            transports=["websocket"],
            socketio_path=_SOCKET,
        )

    def _heard(self, message: Mapping[str, Any]) -> None:
        self.arrivals.append((time.perf_counter(), str(message.get("code", ""))))

    async def close(self) -> None:
        await self._client.disconnect()


async def _watch(stack: dict[str, Any], found: Watched, url: str, pid: int, path: str, page: Page) -> None:
    redis = redis_client.connect(RedisSettings(url=stack["redis_url"]))
    await redis.set(keys.price_book(price_book().version), encoded_book())
    await redis.aclose()
    producer = AIOKafkaProducer(bootstrap_servers=stack["kafka_bootstrap"], acks="all", linger_ms=2)
    await producer.start()
    watchers = [_Watcher(url) for _ in range(WATCHERS)]
    try:
        await asyncio.sleep(_SETTLED_S)
        found.memory_alone = _memory(pid)
        for watcher in watchers:
            await watcher.open(path)
        await until(lambda: all(_sees(watcher) for watcher in watchers), "everybody sees figures")
        await asyncio.sleep(_SETTLED_S)
        found.memory_watched = _memory(pid)
        found.idle_cpu = await _cpu_share(pid, asyncio.sleep(_SETTLED_S))
        await page.goto(url + path)
        await page.get_by_test_id("runs").wait_for()
        await asyncio.sleep(2)
        found.busy_cpu = await _cpu_share(pid, _updates(Probe(stack, producer), watchers, page, found))
    finally:
        for watcher in watchers:
            await watcher.close()
        await producer.stop()


def _sees(watcher: _Watcher) -> bool:
    return any('"totals"' in code for _, code in watcher.arrivals)


async def _updates(probe: Probe, watchers: list[_Watcher], page: Page, found: Watched) -> None:
    tile = page.get_by_test_id("runs")
    for _ in range(_UPDATES):
        before = await tile.inner_text()
        for watcher in watchers:
            watcher.arrivals.clear()
        _, acked = await probe.send()
        await page.wait_for_function(
            "before => document.querySelector('[data-testid=runs]').innerText !== before",
            arg=before,
            polling="raf",
        )
        found.shown.append((time.perf_counter() - acked) * 1000)
        await until(lambda: all(_sees(watcher) for watcher in watchers), "everybody is told")
        for watcher in watchers:
            at = next(at for at, code in watcher.arrivals if '"totals"' in code)
            found.delays.append((at - acked) * 1000)
        await asyncio.sleep(_PAUSE_S)


def _memory(pid: int) -> int:
    """Return a process's proportional share of memory, in bytes."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", told, re.MULTILINE)[1]) * 1024  # type: ignore[index]


async def _cpu_share(pid: int, work: Any) -> float:
    """Return how much of one core a process used while something was awaited."""
    began, used = time.perf_counter(), _cpu(pid)
    await work
    return (_cpu(pid) - used) / (time.perf_counter() - began)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
