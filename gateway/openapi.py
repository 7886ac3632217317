"""What the OpenAPI document says of the routes, from the same structs that parse and answer."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.answers import Answer
from gateway.requests import RunRequest
from gateway.widget.models import NewSession, Session

KEY = {
    "name": "X-API-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "An instance's key, as shown once in the console. A widget's key is accepted from pages "
    "of its `allowed_origins` only.",
}
BEARER = {
    "name": "Authorization",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["Bearer eyJ0eXAiOiJKV1Qi…"]},
    "description": "Instead of the key: `Bearer` and a widget session's token, or the key.",
}
_ORIGIN = {
    "name": "Origin",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "examples": ["https://shop.example.com"]},
    "description": "The page's origin, as browsers send it: one of the key's `allowed_origins`.",
}
IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
    "description": "Repeating a request with the same key and body returns the first one's answer.",
}
PROBLEM: dict[str, Any] = {
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


RATE_HEADERS = {
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
    "content": {**PROBLEM["content"], "application/json": {}},
}


_TOO_OFTEN: dict[str, Any] = {
    **PROBLEM,
    "description": "`widget_rate_limited`: the visitor, the address or the key asked too often; `limit` says "
    "which.",
    "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
}


def refused(*codes: str) -> dict[str, Any]:
    """Return a problem whose `code` is one of those."""
    return {**PROBLEM, "description": "Problem details: " + ", ".join(f"`{code}`" for code in codes) + "."}


def inline(model: type[msgspec.Struct]) -> dict[str, Any]:
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
    content = {"application/json": {"schema": inline(Answer)}}
    return {
        200: {"description": description, "content": content},
        **dict.fromkeys(statuses, PROBLEM),
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
        "parameters": [KEY, BEARER, IDEMPOTENCY],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": inline(RunRequest),
                    "examples": {
                        "question": {"value": {"input": "What are your opening hours?"}},
                        "stream": {"value": {"input": "Tell me more", "stream": True, "max_tokens": 300}},
                    },
                }
            },
        },
    },
}
CREATE_RUN["responses"][200]["headers"] = RATE_HEADERS
CREATE_RUN["responses"][403] = refused(
    "key_kind_not_allowed", "missing_scope", "channel_not_allowed", "origin_not_allowed", "instance_inactive"
)
GET_RUN: dict[str, Any] = {
    "summary": "A run's answer, or that it is still running",
    "tags": ["runs"],
    "responses": _answers(401, 403, 404, 503, description="The finished run, or its status."),
    "openapi_extra": {"parameters": [KEY, BEARER]},
}
CANCEL_RUN: dict[str, Any] = {
    "summary": "Cancel a run; what it used is metered",
    "tags": ["runs"],
    "responses": {
        **_answers(401, 403, 404, 503, description="The run had ended already."),
        202: {"description": "The run is being cancelled."},
    },
    "openapi_extra": {"parameters": [KEY, BEARER]},
}

_SESSION_EXAMPLE = {
    "session_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIs…",
    "expires_at": "2026-05-04T12:15:00Z",
    "refresh_after": "2026-05-04T12:10:00Z",
    "refresh_in_s": 600,
    "visitor_id": "vis_01kx4h2m7q…",
    "visitor_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIs…",
    "name": "Support agent",
    "greeting": "Hello! How can I help?",
    "branding": {"title": "Shop assistant", "colour": "#0055aa", "logo_url": ""},
    "limits": {"runs_per_minute": 20, "session_ends_at": "2026-05-05T00:00:00Z"},
}
_SESSION: dict[str, Any] = {
    "description": "The session. The answer is readable by pages of the key's `allowed_origins` only.",
    "content": {"application/json": {"schema": inline(Session), "example": _SESSION_EXAMPLE}},
}
BEGIN_SESSION: dict[str, Any] = {
    "summary": "Begin a widget visitor's session",
    "tags": ["widget"],
    "responses": {
        200: _SESSION,
        401: refused("invalid_api_key"),
        403: refused(
            "origin_not_allowed",
            "key_kind_not_allowed",
            "missing_scope",
            "channel_not_allowed",
            "instance_inactive",
        ),
        **dict.fromkeys((413, 422, 503), PROBLEM),
        429: _TOO_OFTEN,
    },
    "openapi_extra": {
        "parameters": [KEY, _ORIGIN],
        "requestBody": {
            "required": False,
            "content": {
                "application/json": {
                    "schema": inline(NewSession),
                    "examples": {
                        "first": {"summary": "A new visitor", "value": {}},
                        "again": {
                            "summary": "The same visitor as before",
                            "value": {"visitor_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIs…"},
                        },
                    },
                }
            },
        },
    },
}
REFRESH_SESSION: dict[str, Any] = {
    "summary": "Prolong a widget visitor's session, before it ends",
    "tags": ["widget"],
    "responses": {
        200: _SESSION,
        401: refused("invalid_session", "session_expired", "invalid_api_key"),
        403: refused("origin_not_allowed", "missing_scope", "channel_not_allowed", "instance_inactive"),
        429: _TOO_OFTEN,
        503: PROBLEM,
    },
    "openapi_extra": {"parameters": [{**BEARER, "required": True}, _ORIGIN]},
}
