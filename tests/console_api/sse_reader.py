"""A server-sent events reader for tests: parses the wire, nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from waiting import PATIENCE_S


@dataclass
class Event:
    name: str
    id: str
    data: Any


@dataclass
class Stream:
    response: aiohttp.ClientResponse
    comments: list[str] = field(default_factory=list)

    async def next(self, timeout_s: float = PATIENCE_S) -> Event | None:
        """Return the next event; `None` when the server ended the stream."""
        name, event_id, data = "", "", ""
        async with asyncio.timeout(timeout_s):
            while line := (await self.response.content.readline()).decode():
                line = line.rstrip("\n")
                if line.startswith(":"):
                    self.comments.append(line)
                elif not line and data:
                    return Event(name, event_id, json.loads(data))
                elif line:
                    key, _, value = line.partition(": ")
                    name, event_id, data = (
                        value if key == "event" else name,
                        value if key == "id" else event_id,
                        value if key == "data" else data,
                    )
        return None

    async def until(self, wanted: Callable[[Event], bool], timeout_s: float = PATIENCE_S) -> Event:
        async with asyncio.timeout(timeout_s):
            while event := await self.next(timeout_s):
                if wanted(event):
                    return event
        raise AssertionError("the stream ended first")

    async def events(self) -> AsyncIterator[Event]:
        while event := await self.next():
            yield event


@asynccontextmanager
async def live(
    http: aiohttp.ClientSession, base_url: str, instance_id: str, headers: dict[str, str], last_id: str = ""
) -> AsyncIterator[Stream]:
    sent = {**headers, **({"Last-Event-ID": last_id} if last_id else {})}
    url = f"{base_url}/api/v1/instances/{instance_id}/usage/live"
    async with http.get(url, headers=sent) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)
