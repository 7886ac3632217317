"""`POST /v1/mcp`: the key is checked here, the protocol is the SDK's."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from gateway.access import AccessControl
from gateway.mcp import openapi
from gateway.mcp.exchange import McpResponse
from gateway.mcp.tools import InstanceTools
from gateway.service import RunService
from kit.hot_routes import PlainRoute

router = APIRouter()

#: Of one message; a question has at most 100,000 characters.
_MAX_BODY_BYTES = 524_288


def session_manager(runs: RunService) -> StreamableHTTPSessionManager:
    """Return the SDK's part, to be run for as long as the gateway runs.

    Origins and hosts are not the SDK's to check: which pages may use a key is known with the key.
    """
    tools = InstanceTools(runs)
    server = Server(
        "runmeter",
        version="1",
        title="Runmeter instance",
        instructions="`ask` puts a question to the agent behind this server; each call costs credits.",
        on_list_tools=tools.list_tools,
        on_call_tool=tools.call_tool,
    )
    return StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=_MAX_BODY_BYTES)


async def serve_mcp(request: Request) -> Response:
    access: AccessControl = request.app.state.access
    manager: StreamableHTTPSessionManager = request.app.state.mcp
    return McpResponse(manager, await access.mcp(request))


router.add_api_route(
    "/v1/mcp", serve_mcp, methods=["POST"], route_class_override=PlainRoute, **openapi.SERVE_MCP
)
