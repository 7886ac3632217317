"""The gateway's side of the runner's stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TypeVar

import aiohttp
import msgspec

from kit import tracing
from kit.service_tokens import ServiceTokens
from schemas.runner import (
    EXECUTE_PATH,
    SEARCH_PATH,
    TOOL_CALL_PATH,
    TOOLS_PATH,
    ExecuteRequest,
    Frame,
    SearchAnswer,
    SearchRequest,
    StepDecision,
    ToolCallAnswer,
    ToolCallRequest,
    ToolsAnswer,
    ToolsRequest,
    cancel_path,
    decode_frame,
    step_path,
)

log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer", SearchAnswer, ToolsAnswer, ToolCallAnswer)

_MAX_LINE = 4 * 1024 * 1024
_CONNECT_PATIENCE_S = 10.0
_CONNECT_RETRY_S = 0.1


class RunnerLost(Exception):
    """The runner could not be reached, refused, or broke off before it said how the run ended."""


class RunnerClient:
    """Executes runs on the runner."""

    def __init__(self, base_url: str, tokens: ServiceTokens, timeout_ms: int, max_connections: int) -> None:
        self._base_url = base_url.rstrip("/")
        self._url = self._base_url + EXECUTE_PATH
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=timeout_ms / 1000, sock_connect=2),
            read_bufsize=_MAX_LINE,
            headers=tokens.header,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def execute(self, request: ExecuteRequest) -> AsyncIterator[Frame]:
        """Yield the run's frames. Raises `RunnerLost`; closing the iterator early cancels the run there."""
        body = msgspec.json.encode(request)
        try:
            async with await self._post(body) as response:
                if response.status != 200:
                    raise RunnerLost(f"the runner answered {response.status}")
                async for line in response.content:
                    yield decode_frame(line)
        except (aiohttp.ClientError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            raise RunnerLost(repr(error)) from error

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        """Send the request; a runner that does not listen (it restarts) has begun nothing, so ask again."""
        deadline = asyncio.get_running_loop().time() + _CONNECT_PATIENCE_S
        while True:
            try:
                return await self._session.post(self._url, data=body, headers=_trace())
            except aiohttp.ClientConnectorError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_CONNECT_RETRY_S)

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """Return what an instance knows. Raises `RunnerLost`."""
        return await self._asked(SEARCH_PATH, msgspec.json.encode(request), SearchAnswer)

    async def tools(self, request: ToolsRequest) -> ToolsAnswer:
        """Return what an instance's connectors can do. Raises `RunnerLost`."""
        return await self._asked(TOOLS_PATH, msgspec.json.encode(request), ToolsAnswer)

    async def call_tool(self, request: ToolCallRequest) -> ToolCallAnswer:
        """Have a connector's tool called; never twice. Raises `RunnerLost`."""
        return await self._asked(TOOL_CALL_PATH, msgspec.json.encode(request), ToolCallAnswer)

    async def _asked(self, path: str, body: bytes, kind: type[_Answer]) -> _Answer:
        try:
            async with self._session.post(self._base_url + path, data=body, headers=_trace()) as response:
                if response.status != 200:
                    raise RunnerLost(f"the runner answered {response.status} to {path}")
                text = await response.read()
            return msgspec.json.decode(text, type=kind)
        except (aiohttp.ClientError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            raise RunnerLost(repr(error)) from error

    async def cancel(self, run_id: str) -> None:
        """Ask the runner to end a run; its stream then ends with a `cancelled` frame. Best effort."""
        await self._tell(cancel_path(run_id), b"")

    async def decide(self, run_id: str, decision: StepDecision) -> None:
        """Tell the runner whether a run may take the step it proposed; if it does not hear, the run ends."""
        await self._tell(step_path(run_id), msgspec.json.encode(decision))

    async def _tell(self, path: str, body: bytes) -> None:
        try:
            async with self._session.post(self._base_url + path, data=body) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("the runner was not told", extra={"path": path, "error": repr(error)})


def _trace() -> dict[str, str] | None:
    told = tracing.traceparent()
    return {tracing.HEADER: told} if told else None
