"""What the OpenAPI document says of the MCP endpoint; its messages are MCP's own."""

from __future__ import annotations

from typing import Any

from gateway.openapi import BEARER, KEY, PROBLEM, refused

_CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "ask", "arguments": {"question": "What are your opening hours?"}},
}
_ANSWER = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {
        "content": [{"type": "text", "text": "We are open from 9 to 5."}],
        "structuredContent": {
            "run_id": "run_01kx4h2m7q…",
            "status": "completed",
            "finish_reason": "stop",
            "tokens_in": 31,
            "tokens_out": 12,
            "tool_calls": 0,
            "credits": "0.004200",
            "citations": [],
        },
        "isError": False,
    },
}
SERVE_MCP: dict[str, Any] = {
    "summary": "An instance as an MCP server (streamable HTTP, stateless)",
    "description": "Point an MCP client at this address, with an MCP key as its bearer token. The tool `ask` "
    "runs the instance; `search_knowledge` finds passages of its knowledge, and its connectors bring their "
    "own. Each call is a run, metered as one; a progress token makes `ask` tell what it writes as it "
    "does. From a page, the key has to name the page's origin.",
    "tags": ["mcp"],
    "responses": {
        200: {
            "description": "The JSON-RPC response, or a stream that ends with it.",
            "content": {"application/json": {"schema": {"type": "object"}, "example": _ANSWER}},
        },
        202: {"description": "A notification was taken."},
        400: {"description": "That is no JSON-RPC message (a JSON-RPC error)."},
        401: refused("invalid_api_key"),
        403: refused(
            "key_kind_not_allowed",
            "origin_not_allowed",
            "missing_scope",
            "channel_not_allowed",
            "instance_inactive",
        ),
        406: {"description": "Accept `application/json` and `text/event-stream`."},
        413: {"description": "The message is too large."},
        503: PROBLEM,
    },
    "openapi_extra": {
        "parameters": [BEARER, KEY],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}, "example": _CALL}},
        },
    },
}
