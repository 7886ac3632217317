"""A server that speaks OpenAI's `POST /embeddings`, and refuses or fails when it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from aiohttp import web

MODEL = "embed-small"


@dataclass
class EmbeddingServer:
    """`refused`: a word; texts with it are refused. `statuses`: what the next calls are answered with."""

    url: str = ""
    refused: str = ""
    statuses: list[int] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.keys.append(request.headers.get("Authorization", ""))
        if self.statuses:
            return web.json_response({"error": "told to"}, status=self.statuses.pop(0))
        texts = body["input"]
        if self.refused and any(self.refused in text for text in texts):
            return web.json_response({"error": {"message": "refused"}}, status=400)
        self.asked.append(texts)
        data = [{"index": n, "embedding": _vector(text)} for n, text in enumerate(texts)]
        # In any order: `index` says which text it was.
        used = {"prompt_tokens": 10 * len(texts), "total_tokens": 10 * len(texts)}
        return web.json_response({"data": data[::-1], "model": body["model"], "usage": used})


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
