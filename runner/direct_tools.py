"""Connectors' tools that a gateway calls for somebody who brought their own model (MCP): listed, and called.

Nothing is metered here: the gateway makes each call a run of its own.
"""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import FastAPI, Request, Response

from kit.problems import InvalidRequest, NotFound
from runner.execution import RunnerServices
from runner.tools import Tool, ToolError
from schemas.events import ToolStatus
from schemas.runner import (
    TOOL_CALL_PATH,
    TOOLS_PATH,
    ExecuteRequest,
    OfferedTool,
    ToolCallAnswer,
    ToolCallRequest,
    ToolsAnswer,
    ToolsRequest,
)

#: Of what a tool says.
_MAX_CHARS = 65_536
_decode = msgspec.json.Decoder(ToolsRequest).decode
_decode_call = msgspec.json.Decoder(ToolCallRequest).decode


def install(app: FastAPI) -> None:
    """Add the two routes, which only gateways call."""

    @app.post(TOOLS_PATH, summary="Say what an instance's connectors can do")
    async def offered(request: Request) -> Response:
        try:
            asked = _decode(await request.body())
        except msgspec.DecodeError as error:
            raise InvalidRequest(str(error)) from None
        tools = await _tools(app.state.services, asked, run_id="")
        answer = ToolsAnswer(
            tools=tuple(
                OfferedTool(name=tool.name, description=tool.description, parameters=dict(tool.parameters))
                for tool in tools.values()
            )
        )
        return Response(msgspec.json.encode(answer), media_type="application/json")

    @app.post(TOOL_CALL_PATH, summary="Call a tool of an instance's connectors")
    async def call(request: Request) -> Response:
        services: RunnerServices = app.state.services
        try:
            asked = _decode_call(await request.body())
        except msgspec.DecodeError as error:
            raise InvalidRequest(str(error)) from None
        tool = (await _tools(services, asked, run_id=asked.run_id)).get(asked.tool)
        if tool is None:
            raise NotFound("the instance's connectors have no such tool")
        status, text = await _called(tool, asked, services.settings.tool_timeout_ms / 1000)
        answer = ToolCallAnswer(status=status, text=text[:_MAX_CHARS])
        return Response(msgspec.json.encode(answer), media_type="application/json")


async def _tools(
    services: RunnerServices, asked: ToolsRequest | ToolCallRequest, run_id: str
) -> dict[str, Tool]:
    run = ExecuteRequest(
        tenant_id=asked.tenant_id,
        org_id=asked.org_id,
        instance_id=asked.instance_id,
        run_id=run_id,
        channel="mcp",
        key_id="",
        price_version="",
        started_at_ms=0,
        model="",
        messages=(),
        connectors=True,
    )
    return await services.sources.connectors.tools(run)


async def _called(tool: Tool, asked: ToolCallRequest, timeout_s: float) -> tuple[ToolStatus, str]:
    try:
        async with asyncio.timeout(timeout_s):
            return "ok", await tool.call(asked.arguments)
    except TimeoutError:
        return "timeout", "the tool took too long"
    except ToolError as error:
        return "error", str(error)
