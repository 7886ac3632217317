"""One request of an MCP client, with its caller, on its way through the SDK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import Response
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from gateway.execution import Run
from gateway.keys import Caller

_STATE = "mcp_exchange"


@dataclass(frozen=True, slots=True)
class Exchange:
    """Who asks, and the runs that it began."""

    caller: Caller
    runs: list[Run] = field(default_factory=list)


def exchange_of(request: Any) -> Exchange:
    """Return the exchange that the SDK's request belongs to."""
    found = request.scope["state"][_STATE]
    if not isinstance(found, Exchange):
        raise TypeError("the request did not come through the MCP endpoint")
    return found


class McpResponse(Response):
    """Hands the request to the SDK; a client that leaves before its answer cancels what it asked for."""

    def __init__(self, manager: StreamableHTTPSessionManager, caller: Caller) -> None:
        super().__init__()
        self._manager = manager
        self._exchange = Exchange(caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the exchange."""
        scope.setdefault("state", {})[_STATE] = self._exchange
        try:
            await self._manager.handle_request(scope, receive, send)
        finally:
            for run in self._exchange.runs:
                run.cancel("client_disconnected")
