"""A model endpoint that streams the chunks a test wrote, sane or not, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from containers import free_ports
from gateway_log import Metered
from gateway_rig import SERVICE_HEADER, Plane, Service

from kit import clock
from schemas.runner import (
    EXECUTE_PATH,
    ExecuteRequest,
    Frame,
    Message,
    StepDecision,
    StepProposed,
    decode_frame,
    step_path,
)

Chunk = dict[str, Any] | bytes
#: Returns the chunks that answer a request.
Script = Callable[[dict[str, Any]], list[Chunk]]


def text(content: str) -> Chunk:
    return {"choices": [{"index": 0, "delta": {"content": content}}]}


def call(name: str | None, arguments: str | None, index: int = 0, id: str | None = "call_1") -> Chunk:
    function = {"name": name, "arguments": arguments}
    return {"choices": [{"delta": {"tool_calls": [{"index": index, "id": id, "function": function}]}}]}


def usage(prompt: int, completion: int, **more: Any) -> Chunk:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more}}


@dataclass
class OddModel:
    url: str
    script: Script = field(default=lambda _: [])
    asked: list[dict[str, Any]] = field(default_factory=list)

    def says(self, script: Script) -> None:
        self.script, self.asked = script, []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append(asked)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in self.script(asked):
            data = chunk if isinstance(chunk, bytes) else b"data: " + msgspec.json.encode(chunk)
            await response.write(data + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


@asynccontextmanager
async def odd_model() -> AsyncIterator[OddModel]:
    port = free_ports("model")["model"]
    model = OddModel(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.answer)
    serving = web.AppRunner(app)
    await serving.setup()
    await web.TCPSite(serving, "127.0.0.1", port).start()
    try:
        yield model
    finally:
        await serving.cleanup()


@dataclass
class RunnerWithModel:
    plane: Plane
    service: Service
    model: OddModel
    decide: Callable[[StepProposed], StepDecision] = field(
        default=lambda _: StepDecision(proceed=True, max_output_tokens=1_024)
    )

    async def run(self, question: str = "Hello", **fields: Any) -> tuple[list[Frame], Metered]:
        """Execute one run; return its frames and what Kafka has of it."""
        request = self.request(question, **fields)
        async with self.plane.http.post(
            self.service.url + EXECUTE_PATH, data=msgspec.json.encode(request), headers=SERVICE_HEADER
        ) as response:
            assert response.status == 200
            frames = []
            async for line in response.content:
                frames.append(frame := decode_frame(line))
                if isinstance(frame, StepProposed):
                    await self.posted(step_path(request.run_id), msgspec.json.encode(self.decide(frame)))
        return frames, await self.plane.log.of(request.run_id)

    def request(self, question: str = "Hello", **fields: Any) -> ExecuteRequest:
        org_id = clock.new_id("org")
        self.plane.log.orgs.add(org_id)
        given: dict[str, Any] = {
            "tenant_id": self.plane.tenant_id,
            "org_id": org_id,
            "instance_id": clock.new_id("inst"),
            "run_id": clock.new_id("run"),
            "channel": "api",
            "key_id": "key_1",
            "price_version": self.plane.book.version,
            "started_at_ms": clock.now_ms(),
            "model": "gpt-4o-mini",
            "messages": (Message("user", question),),
            "tools": ("calculator", "current_time"),
            **fields,
        }
        return ExecuteRequest(**given)

    async def posted(self, path: str, data: bytes) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession(headers=SERVICE_HEADER) as http,
            http.post(self.service.url + path, data=data) as response,
        ):
            return response.status, await response.read()
