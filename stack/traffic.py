"""A realistic stream of runs through the gateway's public API, as programs and widgets would send it."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp

from stack.access import DEMO_ORIGIN, DemoAccess, DemoInstance

Kind = Literal["plain", "stream", "cancel", "leave", "fail"]

_QUESTIONS = (
    "How do I reset the password of a customer account?",
    "Which delivery options do you offer for furniture in Austria?",
    "What is 129 * 12 + 7?",
    "Summarise the refund policy for subscriptions in two sentences.",
    "What time is it in UTC right now?",
    "Compare the starter and the business plan for a team of five.",
    "Write a friendly reminder about an unpaid invoice.",
    "How many is (3500 - 275) / 15, and what is the date today?",
    "Explain how the warranty for batteries works.",
    "Which documents are needed to open a merchant account?",
)
#: How often a request is repeated with the same Idempotency-Key when the connection breaks.
_TRIES = 60
_RETRY_S = 0.5


@dataclass
class Sent:
    """One run as its client knows it. `usage` is what the answer said, once there was one."""

    run_id: str
    status: str
    error_code: str
    usage: dict[str, Any]


@dataclass
class Tally:
    """What the clients saw so far."""

    sent: dict[str, Sent] = field(default_factory=dict)
    by_status: Counter[str] = field(default_factory=Counter)
    by_source: Counter[str] = field(default_factory=Counter)
    started: int = 0
    retried: int = 0
    gave_up: int = 0
    first_answer_at: float = 0.0

    def add(self, run: Sent, source: str) -> None:
        """Count one answered run."""
        if not self.first_answer_at:
            self.first_answer_at = time.time()
        self.sent[run.run_id] = run
        self.by_status[run.status] += 1
        self.by_source[source] += 1

    def total(self, name: str) -> int:
        """Return the sum of one usage figure over all answers."""
        return sum(int(run.usage[name]) for run in self.sent.values())


class Traffic:
    """Sends runs for a demo's instances until told to stop."""

    def __init__(self, gateway_url: str, demo: DemoAccess, seed: int, concurrency: int) -> None:
        self._url = gateway_url
        self._instances: Sequence[DemoInstance] = demo.instances
        self._random = random.Random(seed)  # noqa: S311 - a repeatable demo, not a secret
        self._concurrency = concurrency
        # Not from the seed: an earlier demo on the same data may have used the same one.
        self._prefix = secrets.token_hex(8)
        self.tally = Tally()

    async def run(self, runs: int | None, stopping: Callable[[], bool] = lambda: False) -> None:
        """Send `runs` runs (`None`: until `stopping` says so), a few at a time."""
        timeout = aiohttp.ClientTimeout(total=120, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*[self._client(session, runs, stopping) for _ in range(self._concurrency)])

    async def _client(
        self, session: aiohttp.ClientSession, runs: int | None, stopping: Callable[[], bool]
    ) -> None:
        while not stopping() and (runs is None or self.tally.started < runs):
            self.tally.started += 1
            instance = self._random.choice(self._instances)
            source = "widget" if self._random.random() < 0.3 else "api"
            key = instance.widget_key if source == "widget" else instance.api_key
            await self._one(session, key, source)
            await asyncio.sleep(self._random.expovariate(20))

    async def _one(self, session: aiohttp.ClientSession, key: str, source: str) -> None:
        kinds: tuple[Kind, ...] = ("plain", "stream", "cancel", "leave", "fail")
        kind = self._random.choices(kinds, weights=(50, 36, 4, 4, 6))[0]
        number = self.tally.started
        body: dict[str, Any] = {
            "input": f"{self._random.choice(_QUESTIONS)} (#{number})",
            "stream": kind in ("stream", "cancel", "leave"),
            "max_tokens": self._random.choice((60, 120, 300)),
            "end_user": f"visitor-{number % 17}",
        }
        if kind == "fail":
            body["input"] += self._random.choice(
                (" [[fault:500]]", " [[fault:cut:3]]", " [[fault:no-usage]]")
            )
        headers = {"X-API-Key": key, "Idempotency-Key": f"{self._prefix}-{number}"}
        if source == "widget":
            # Visitors come from many places; the embedded stack believes a local proxy that says so.
            headers |= {"Origin": DEMO_ORIGIN, "X-Forwarded-For": f"203.0.113.{number % 250}"}
        for _ in range(_TRIES):
            try:
                run = await self._attempt(session, headers, body, kind)
            except (aiohttp.ClientError, TimeoutError, _TryAgain):
                self.tally.retried += 1
                await asyncio.sleep(_RETRY_S)
            else:
                self.tally.add(run, source)
                return
        self.tally.gave_up += 1

    async def _attempt(
        self, session: aiohttp.ClientSession, headers: dict[str, str], body: dict[str, Any], kind: Kind
    ) -> Sent:
        async with session.post(f"{self._url}/v1/runs", json=body, headers=headers) as response:
            if response.status in (409, 429, 503):
                raise _TryAgain(await response.text())
            if not body["stream"] or response.content_type != "text/event-stream":
                return _sent(await response.json(content_type=None))
            run_id, answer = await self._read(response, kind, session, headers)
        # Whoever left does not know how the run ended; asking for it tells.
        return _sent(answer) if answer else await self._look_up(session, headers, run_id)

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        kind: Kind,
        session: aiohttp.ClientSession,
        headers: dict[str, str],
    ) -> tuple[str, dict[str, Any] | None]:
        """Read a stream; in the middle of it, leave or cancel if that is what this client does."""
        run_id, deltas, name = "", 0, ""
        async for line in response.content:
            text = line.decode().strip()
            if text.startswith("event: "):
                name = text[7:]
            elif text.startswith("data: "):
                data = json.loads(text[6:])
                if name == "run.started":
                    run_id = data["run_id"]
                elif name.startswith("run."):
                    return run_id, data
                deltas += name == "message.delta"
                if deltas == 3 and kind == "leave":
                    return run_id, None
                if deltas == 3 and kind == "cancel":
                    deltas += 1
                    async with session.post(f"{self._url}/v1/runs/{run_id}/cancel", headers=headers):
                        pass
        raise _TryAgain("the stream broke off")

    async def _look_up(self, session: aiohttp.ClientSession, headers: dict[str, str], run_id: str) -> Sent:
        for _ in range(_TRIES):
            async with session.get(f"{self._url}/v1/runs/{run_id}", headers=headers) as response:
                body = await response.json(content_type=None)
            if "usage" in body:
                return _sent(body)
            if response.status == 404:
                break
            await asyncio.sleep(0.1)
        raise _TryAgain("the run's end is not known")


class _TryAgain(Exception):
    """The request got no answer; repeating it with the same key is safe."""


def _sent(body: dict[str, Any]) -> Sent:
    if "usage" not in body:
        raise _TryAgain(str(body.get("detail", body)))
    usage = dict(body["usage"])
    whole, _, part = str(usage.pop("credits")).partition(".")
    usage["charged"] = int(whole) * 1_000_000 + int(part)
    return Sent(body["run_id"], body["status"], (body.get("error") or {}).get("code", ""), usage)
