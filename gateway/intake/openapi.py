"""What the OpenAPI document says of the intake, from the same structs that parse and answer."""

from __future__ import annotations

from typing import Any

from gateway.intake.models import BatchResult, ReportedRun, RunData
from gateway.openapi import BEARER, KEY, inline, refused

_DATA = {
    "model": "gpt-4o-mini",
    "input_uncached": 1200,
    "cache_read": 800,
    "output": 310,
    "tool_calls": [{"tool": "calculator", "duration_ms": 12}],
    "duration_ms": 2400,
    "status": "completed",
    "end_user": "customer-7",
}
_EVENT = {
    "specversion": "1.0",
    "id": "call-000017",
    "source": "batch-jobs",
    "type": "runmeter.run",
    "time": "2026-05-04T12:00:00Z",
    "data": _DATA,
}
_RESULT = {
    "accepted": 1,
    "rejected": 1,
    "results": [
        {"status": 202, "id": "call-000017", "source": "batch-jobs", "run_id": "run_5b2f…"},
        {
            "status": 422,
            "id": "call-000004",
            "source": "batch-jobs",
            "error": {
                "code": "event_too_old",
                "detail": "reports are taken for 604800 s; have an operator charge older usage with "
                "`runmeter correct backfill`",
            },
        },
    ],
}


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": f"ce-{name}",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": description,
    }


_BINARY = [
    _header("specversion", "Binary mode: `1.0`; the body is then the event's `data`."),
    *(_header(name, "Binary mode.") for name in ("id", "source", "type", "time", "subject")),
]
_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: refused("invalid_api_key"),
    403: refused("key_kind_not_allowed", "missing_scope", "channel_not_allowed", "instance_inactive"),
    413: refused("body_too_large", "too_many_events"),
    415: refused("unsupported_media_type"),
    422: refused("invalid_event", "event_without_time", "event_too_old", "event_in_future", "no_prices"),
    429: refused("rate_limited", "gateway_busy"),
    503: refused("limits_unavailable", "metering_unavailable"),
}
_BODY = {
    "required": True,
    "content": {
        "application/cloudevents+json": {"schema": inline(ReportedRun), "example": _EVENT},
        "application/cloudevents-batch+json": {
            "schema": {"type": "array", "items": inline(ReportedRun)},
            "example": [_EVENT],
        },
        "application/json": {
            "schema": inline(RunData),
            "examples": {"binary": {"summary": "Binary mode: only the data", "value": _DATA}},
        },
    },
}
_TAKEN = {"description": "Every event is durable and will be charged, once."}


def _results(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": inline(BatchResult), "example": _RESULT}}
    return {"description": description, "content": content}


REPORT_RUNS: dict[str, Any] = {
    "summary": "Report runs that happened elsewhere",
    "tags": ["events"],
    "responses": {
        204: _TAKEN,
        200: _results("A batch: every event is durable."),
        207: _results("A batch: some events were not taken; the others are durable."),
        **_REFUSALS,
    },
    "openapi_extra": {"parameters": [KEY, BEARER, *_BINARY], "requestBody": _BODY},
    "status_code": 204,
}
REPORT_RUNS_AS_TO_OPENMETER: dict[str, Any] = {
    "summary": "Report runs with an OpenMeter client",
    "description": "The same as `/v1/events`. A batch of which some events were not taken is a 422, whose "
    "`results` say which; the others are durable, and repeating them counts once.",
    "tags": ["events"],
    "responses": {204: _TAKEN, **_REFUSALS},
    "openapi_extra": {"parameters": [BEARER, KEY], "requestBody": _BODY},
    "status_code": 204,
}
