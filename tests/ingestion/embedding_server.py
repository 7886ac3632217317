"""A server that speaks OpenAI's `POST /embeddings`, and refuses or fails when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from aiohttp import web

MODEL = "embed-small"


@dataclass
class EmbeddingServer:
    """`refused`: a word; texts with it are refused. `statuses`: what the next calls are answered with.

    Instead of a status, `stall` begins an answer and never goes on, and `cut` ends it in the middle.
    """

    url: str = ""
    refused: str = ""
    statuses: list[int | Literal["stall", "cut"]] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def embed(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.keys.append(request.headers.get("Authorization", ""))
        if self.statuses:
            status = self.statuses.pop(0)
            if isinstance(status, str):
                return await _half(request, stall=status == "stall")
            return web.json_response({"error": "told to"}, status=status)
        texts = body["input"]
        if self.refused and any(self.refused in text for text in texts):
            return web.json_response({"error": {"message": "refused"}}, status=400)
        self.asked.append(texts)
        data = [{"index": n, "embedding": _vector(text)} for n, text in enumerate(texts)]
        # In any order: `index` says which text it was.
        used = {"prompt_tokens": 10 * len(texts), "total_tokens": 10 * len(texts)}
        return web.json_response({"data": data[::-1], "model": body["model"], "usage": used})


async def _half(request: web.Request, *, stall: bool) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "4096"})
    await answer.prepare(request)
    await answer.write(b'{"data": [')
    if stall:
        # Until whoever asked is tired of it.
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(0.05)
                if request.transport is None or request.transport.is_closing():
                    break
    elif request.transport is not None:
        request.transport.abort()
    return answer


def _vector(text: str) -> list[float]:
    return [byte / 255 for byte in sha256(text.encode()).digest()[:8]]


@asynccontextmanager
async def running() -> AsyncIterator[EmbeddingServer]:
    server = EmbeddingServer()
    app = web.Application()
    app.router.add_post("/v1/embeddings", server.embed)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
