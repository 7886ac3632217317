"""The tools that an instance offers to MCP clients: `ask`, `search_knowledge`, and its connectors'."""

from __future__ import annotations

import time
from typing import Any, TypeVar

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from msgspec import Struct

from gateway.answers import Answer
from gateway.errors import MeteringUnavailable
from gateway.execution import Run
from gateway.keys import Caller
from gateway.mcp.exchange import Exchange, exchange_of
from gateway.mcp.models import Ask, AskResult, Search, SearchResult, ask_result, schema_of
from gateway.mcp.offers import Offers
from gateway.requests import RunRequest
from gateway.service import Order, RunService
from gateway.tool_calls import SEARCH, ToolCall
from kit.problems import InvalidRequest, Problem
from kit.spool import SpoolFull
from schemas.runner import Delta, Message, OfferedTool, Passage, SearchAnswer

_Context = ServerRequestContext[Any, Any]
_Arguments = TypeVar("_Arguments", Ask, Search)

ASK = "ask"
#: Progress is told no more often, and no longer a piece at once: nobody reads faster.
_PROGRESS_S = 0.2
_MAX_ARGUMENTS_BYTES = 65_536


class InstanceTools:
    """Lists and calls an instance's tools on behalf of the key that the request came with."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs
        self._offers = Offers(runs)

    async def list_tools(self, context: _Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        """Return the tools of the caller's instance."""
        caller = exchange_of(context.request).caller
        tools = [_ask(caller), *([_search(caller)] if caller.instance.knowledge else [])]
        return ListToolsResult(tools=tools + [_other(one) for one in await self._others(caller)])

    async def call_tool(self, context: _Context, params: CallToolRequestParams) -> CallToolResult:
        """Call a tool; what keeps it from answering is its result, as MCP has it, and no protocol error."""
        exchange, arguments = exchange_of(context.request), params.arguments or {}
        try:
            if params.name == ASK:
                return _answered(await self._asked(context, exchange, _parsed(arguments, Ask, ASK)))
            call = await self._call(exchange.caller, params.name, arguments)
            request = RunRequest(input=call.tool)
            return _called(
                call, await self._run(context, Order(exchange.caller, request, "mcp", "", b"", call))
            )
        except Problem as problem:
            return _failed(problem.code, problem.detail)

    async def _others(self, caller: Caller) -> list[OfferedTool]:
        offered = await self._offers.of(caller)
        return [tool for tool in offered if tool.name not in (ASK, SEARCH)]

    async def _asked(self, context: _Context, exchange: Exchange, asked: Ask) -> Answer:
        # Only who wants to hear of progress gets a stream.
        told = context.meta is not None and context.meta.get("progress_token") is not None
        request = RunRequest(
            messages=(Message("user", asked.question),), max_tokens=asked.max_tokens, stream=told
        )
        return await self._run(context, Order(exchange.caller, request, "mcp", "", b""))

    async def _call(self, caller: Caller, name: str, arguments: dict[str, Any]) -> ToolCall:
        """Return the call of a tool that the instance has. Raises `MCPError`, `InvalidRequest`."""
        if name == SEARCH and caller.instance.knowledge:
            return ToolCall(name, msgspec.to_builtins(_parsed(arguments, Search, name)))
        others = {tool.name for tool in await self._others(caller)}
        if name not in others:
            known = ", ".join([ASK, *([SEARCH] if caller.instance.knowledge else []), *sorted(others)])
            raise MCPError(code=INVALID_PARAMS, message=f"there is no tool {name[:64]!r}: use one of {known}")
        if len(msgspec.json.encode(arguments)) > _MAX_ARGUMENTS_BYTES:
            raise InvalidRequest(f"the arguments may have at most {_MAX_ARGUMENTS_BYTES} bytes")
        return ToolCall(name, arguments)

    async def _run(self, context: _Context, order: Order) -> Answer:
        begun = await self._runs.begin(order)
        if not isinstance(begun, Run):
            return begun
        exchange_of(context.request).runs.append(begun)
        try:
            if order.request.stream:
                await _tell_progress(context, begun)
            return await begun.answer()
        except SpoolFull as error:
            raise MeteringUnavailable(run_id=begun.lease.run_id) from error
        finally:
            # Of a run that is over this does nothing: the client cancelled the call.
            begun.cancel("client_disconnected")


async def _tell_progress(context: _Context, run: Run) -> None:
    """Tell what is written as it is written: `progress` counts characters, `message` is the new text."""
    written, unsaid, said_at = 0, "", 0.0
    async for frame in run.frames():
        if not isinstance(frame, Delta):
            continue
        unsaid += frame.text
        if (now := time.monotonic()) - said_at >= _PROGRESS_S:
            written, said_at = written + len(unsaid), now
            await context.session.report_progress(written, None, unsaid)
            unsaid = ""
    if unsaid:
        await context.session.report_progress(written + len(unsaid), None, unsaid)


def _ask(caller: Caller) -> Tool:
    name = caller.instance.name
    return Tool(
        name=ASK,
        title=f"Ask {name}",
        description=f"Ask the agent {name!r} something and get its answer. It knows nothing of "
        "this conversation but the question. Each call is metered and costs credits.",
        input_schema=schema_of(Ask),
        output_schema=schema_of(AskResult),
    )


def _search(caller: Caller) -> Tool:
    name = caller.instance.name
    return Tool(
        name=SEARCH,
        title=f"Search what {name} knows",
        description=f"Search the documents of {name!r} and get the passages themselves, without an answer. "
        "Each call is metered and costs credits.",
        input_schema=schema_of(Search),
        output_schema=schema_of(SearchResult),
    )


def _other(tool: OfferedTool) -> Tool:
    # MCP wants an object at the top, whatever the connector says.
    schema = {"properties": {}, **tool.parameters, "type": "object"}
    return Tool(name=tool.name, description=tool.description, input_schema=schema)


def _parsed(arguments: dict[str, Any], kind: type[_Arguments], tool: str) -> _Arguments:
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        fields = ", ".join(kind.__struct_fields__)
        raise InvalidRequest(f"{error}; the arguments of `{tool}` are: {fields}") from None


def _answered(answer: Answer) -> CallToolResult:
    text = answer.output if answer.error is None else _why(answer)
    if answer.error is not None and answer.output:
        text = f"{answer.output}\n\n[the answer ends here: {text}]"
    return _result(text, ask_result(answer), is_error=answer.error is not None)


def _called(call: ToolCall, answer: Answer) -> CallToolResult:
    if answer.error is not None:
        return _result(_why(answer), None, is_error=True)
    if call.tool != SEARCH:
        return _result(answer.output, None)
    passages = msgspec.json.decode(answer.output, type=SearchAnswer).passages
    told = SearchResult(run_id=answer.run_id, credits=answer.usage.credits, passages=passages)
    text = "\n\n".join(_passage(number, one) for number, one in enumerate(passages, 1))
    return _result(text or "Nothing was found.", told)


def _passage(number: int, passage: Passage) -> str:
    place = [passage.title, passage.section, f"page {passage.page}" if passage.page else "", passage.url]
    return f"[{number}] {', '.join(part for part in place if part)}\n{passage.text}"


def _why(answer: Answer) -> str:
    error = answer.error
    detail = (error.detail or error.code) if error is not None else answer.status
    return f"{detail} (run {answer.run_id})"


def _result(text: str, told: Struct | None, *, is_error: bool = False) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=None if told is None else msgspec.to_builtins(told),
        is_error=is_error,
    )


def _failed(code: str, detail: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=f"{code}: {detail}")], is_error=True)
