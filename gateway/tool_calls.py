"""A run without a model: one tool, called for somebody who brought their own (MCP).

It is admitted, held, closed and charged like any other run. What it used the gateway publishes itself: the
runner only does the work. A call that could not be made used nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.quotes import Quote
from gateway.runner_client import RunnerClient, RunnerLost
from kit.clock import Clock
from metering.prices import PriceBook
from schemas.events import ToolCallEvent, ToolStatus, owner_of
from schemas.runner import (
    Delta,
    Ended,
    ExecuteRequest,
    Frame,
    SearchRequest,
    ToolCallFinished,
    ToolCallRequest,
    ToolCallStarted,
)

SEARCH = "search_knowledge"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What to call: `search_knowledge` (`query`, `limit`), or a connector's tool."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


def quote_of(call: ToolCall, book: PriceBook) -> Quote:
    """Return the hold for a call: exactly what it costs."""
    price = max(1, book.per_run + book.tools.get(call.tool, book.per_tool_call))
    return Quote(0, 0, 0, price, price, None, None)


async def frames(
    runner: RunnerClient, run: ExecuteRequest, call: ToolCall, clock: Clock
) -> AsyncIterator[Frame]:
    """Yield the frames of a run that is this call. Its text is JSON for a search, else what the tool said."""
    tool_call_id, began_ms = f"{run.run_id}-t1", clock()
    arguments = msgspec.json.encode(call.arguments).decode()
    yield ToolCallStarted(tool_call_id=tool_call_id, tool=call.tool, arguments=arguments)
    try:
        status, text = await _called(runner, run, call)
    except RunnerLost:
        detail = f"{call.tool} cannot be reached right now; try again shortly"
        yield Ended(status="failed", error_code="tool_unavailable", detail=detail)
        return
    event = ToolCallEvent(
        **owner_of(run),
        occurred_at_ms=clock(),
        tool_call_id=tool_call_id,
        tool=call.tool,
        duration_ms=max(0, clock() - began_ms),
        status=status,
    )
    yield ToolCallFinished(event=event)
    if status != "ok":
        yield Ended(status="failed", error_code=f"tool_{status}", detail=text, recorded=False)
        return
    yield Delta(text=text)
    yield Ended(status="completed", recorded=False)


async def _called(runner: RunnerClient, run: ExecuteRequest, call: ToolCall) -> tuple[ToolStatus, str]:
    whose: dict[str, Any] = {"tenant_id": run.tenant_id, "org_id": run.org_id, "instance_id": run.instance_id}
    if call.tool == SEARCH:
        found = await runner.search(SearchRequest(**whose, **call.arguments))
        return "ok", msgspec.json.encode(found).decode()
    answer = await runner.call_tool(
        ToolCallRequest(**whose, run_id=run.run_id, tool=call.tool, arguments=call.arguments)
    )
    return answer.status, answer.text
