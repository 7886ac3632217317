"""What the OpenAPI document says of the routes, from the same structs that parse and answer."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.answers import Answer
from gateway.requests import RunRequest

_KEY = {
    "name": "X-API-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "An instance's key, as shown once in the console.",
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
    "description": "Repeating a request with the same key and body returns the first one's answer.",
}
_PROBLEM: dict[str, Any] = {
    "description": "RFC 9457 problem details with a stable `code`.",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "code", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            }
        }
    },
}


_RATE_HEADERS = {
    "RateLimit": {
        "description": "What is left of the instance's rates, and when all of it is back, in seconds.",
        "schema": {"type": "string", "examples": ['"requests";r=58;t=2']},
    },
    "RateLimit-Policy": {
        "description": "The instance's rates. Both headers are sent only where there are such limits.",
        "schema": {"type": "string", "examples": ['"requests";q=60;w=60']},
    },
}
_CUT_OFF = {
    "description": "The credits do not pay for the run (problem details), or ran out while it went on: then "
    "the body is the partial answer with its usage, `status` is `limit_exceeded`.",
    "content": {**_PROBLEM["content"], "application/json": {}},
}


def _inline(model: type[msgspec.Struct]) -> dict[str, Any]:
    """Return a struct's JSON Schema with its definitions resolved in place."""
    (schema,), parts = msgspec.json.schema_components([model], ref_template="{name}")

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(parts[node["$ref"]])
            return {name: resolve(value) for name, value in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved


def _answers(*statuses: int, description: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": _inline(Answer)}}
    return {
        200: {"description": description, "content": content},
        **dict.fromkeys(statuses, _PROBLEM),
    }


CREATE_RUN: dict[str, Any] = {
    "summary": "Run an instance",
    "tags": ["runs"],
    "responses": {
        **_answers(401, 403, 409, 413, 422, 429, 503, description="The answer, metered."),
        402: _CUT_OFF,
        502: {"description": "The model or the runner failed; what was used is in `usage`."},
    },
    "openapi_extra": {
        "parameters": [_KEY, _IDEMPOTENCY],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _inline(RunRequest),
                    "examples": {
                        "question": {"value": {"input": "What are your opening hours?"}},
                        "stream": {"value": {"input": "Tell me more", "stream": True, "max_tokens": 300}},
                    },
                }
            },
        },
    },
}
CREATE_RUN["responses"][200]["headers"] = _RATE_HEADERS
GET_RUN: dict[str, Any] = {
    "summary": "A run's answer, or that it is still running",
    "tags": ["runs"],
    "responses": _answers(401, 404, 503, description="The finished run, or its status."),
    "openapi_extra": {"parameters": [_KEY]},
}
CANCEL_RUN: dict[str, Any] = {
    "summary": "Cancel a run; what it used is metered",
    "tags": ["runs"],
    "responses": {
        **_answers(401, 404, 503, description="The run had ended already."),
        202: {"description": "The run is being cancelled."},
    },
    "openapi_extra": {"parameters": [_KEY]},
}
