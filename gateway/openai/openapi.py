"""What the OpenAPI document says of these routes, from the same structs that parse and answer."""

from __future__ import annotations

from typing import Any

from gateway.openai.models import ChatCompletion, ChatRequest, Chunk, ErrorBody, Model, ModelList
from gateway.openapi import BEARER, IDEMPOTENCY, KEY, RATE_HEADERS, inline

_NOT_FOUND = {
    "error": {
        "message": "'gpt-9' is not among the instance's models",
        "type": "invalid_request_error",
        "code": "model_not_found",
        "param": "model",
    }
}
_NO_CREDITS = {
    "error": {
        "message": "top up the wallet, or wait until runs in flight are settled",
        "type": "insufficient_quota",
        "code": "insufficient_credits",
        "param": None,
    }
}
_USAGE = {"prompt_tokens": 31, "completion_tokens": 12, "total_tokens": 43}
_COMPLETION = {
    "id": "run_01kx4h2m7q…",
    "object": "chat.completion",
    "created": 1_777_896_000,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "We are open from 9 to 5.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": _USAGE,
}
_STREAM_EXAMPLE = (
    'data: {"id":"run_01kx4h2m7q…","object":"chat.completion.chunk","created":1777896000,'
    '"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"We are"},"finish_reason":null}]}\n\n'
    "data: [DONE]\n\n"
)


def _error(description: str, example: dict[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": inline(ErrorBody)}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {"application/json": content}}


_ERRORS: dict[int | str, dict[str, Any]] = {
    400: _error("The request is not valid, or asks for what cannot be honoured."),
    401: _error("`invalid_api_key`."),
    403: _error("`key_kind_not_allowed`, `missing_scope`, `channel_not_allowed`, `instance_inactive`."),
    503: _error("`limits_unavailable`, `metering_unavailable`: repeat after `Retry-After` seconds."),
}
CREATE_CHAT_COMPLETION: dict[str, Any] = {
    "summary": "Run an instance the way OpenAI's chat completions are asked for",
    "tags": ["openai"],
    "responses": {
        200: {
            "description": "The answer, metered; with `stream`, its chunks and `data: [DONE]`.",
            "headers": RATE_HEADERS,
            "content": {
                "application/json": {"schema": inline(ChatCompletion), "example": _COMPLETION},
                "text/event-stream": {"schema": inline(Chunk), "example": _STREAM_EXAMPLE},
            },
        },
        **_ERRORS,
        402: _error("The credits do not pay for the run, or ran out while it went on.", _NO_CREDITS),
        404: _error("`model_not_found`: not one of the instance's.", _NOT_FOUND),
        409: _error("`idempotency_conflict`, `run_in_progress`, or the run was cancelled."),
        413: _error("`body_too_large`."),
        429: _error("`rate_limit_exceeded`; `Retry-After` says when repeating helps."),
        502: _error("The model or the runner failed; what was used is metered."),
    },
    "openapi_extra": {
        "parameters": [BEARER, KEY, IDEMPOTENCY],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": inline(ChatRequest),
                    "examples": {
                        "question": {
                            "value": {
                                "model": "gpt-4o-mini",
                                "messages": [{"role": "user", "content": "What are your opening hours?"}],
                            }
                        },
                        "stream": {
                            "value": {
                                "messages": [{"role": "user", "content": "Tell me more"}],
                                "stream": True,
                                "stream_options": {"include_usage": True},
                                "max_completion_tokens": 300,
                            }
                        },
                    },
                }
            },
        },
    },
}
_MODELS_EXAMPLE = {
    "object": "list",
    "data": [{"id": "gpt-4o-mini", "object": "model", "created": 1_777_896_000, "owned_by": "runmeter"}],
}
LIST_MODELS: dict[str, Any] = {
    "summary": "The instance's models, its default one first",
    "tags": ["openai"],
    "responses": {
        200: {
            "description": "The models.",
            "content": {"application/json": {"schema": inline(ModelList), "example": _MODELS_EXAMPLE}},
        },
        **_ERRORS,
    },
    "openapi_extra": {"parameters": [BEARER, KEY]},
}
GET_MODEL: dict[str, Any] = {
    "summary": "One of the instance's models",
    "tags": ["openai"],
    "responses": {
        200: {
            "description": "The model.",
            "content": {"application/json": {"schema": inline(Model), "example": _MODELS_EXAMPLE["data"][0]}},
        },
        **_ERRORS,
        404: _error("`model_not_found`: not one of the instance's.", _NOT_FOUND),
    },
    "openapi_extra": {
        "parameters": [
            {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "example": "gpt-4o-mini",
            },
            BEARER,
            KEY,
        ]
    },
}
