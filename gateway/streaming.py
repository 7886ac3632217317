"""A run as server-sent events: `run.started`, `message.delta`, `tool_call`, then one of `run.completed`,
`run.failed`, `run.cancelled` or `run.limit_exceeded`; the last carries the answer with its usage."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from gateway.answers import Answer
from gateway.execution import Run
from kit.spool import SpoolFull
from schemas.runner import Delta, ToolCallFinished, ToolCallStarted

_encode = msgspec.json.Encoder().encode


def event(name: str, data: object) -> bytes:
    """Return one server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))


async def stream(run: Run) -> AsyncIterator[bytes]:
    """Yield a run's events; a client that goes away cancels the run."""
    try:
        yield event("run.started", {"run_id": run.lease.run_id, "model": run.lease.model})
        async for frame in run.frames():
            match frame:
                case Delta():
                    yield event("message.delta", {"text": frame.text})
                case ToolCallStarted():
                    yield event(
                        "tool_call",
                        {
                            "tool_call_id": frame.tool_call_id,
                            "tool": frame.tool,
                            "arguments": frame.arguments,
                            "status": "started",
                        },
                    )
                case ToolCallFinished():
                    done = frame.event
                    yield event(
                        "tool_call",
                        {
                            "tool_call_id": done.tool_call_id,
                            "tool": done.tool,
                            "duration_ms": done.duration_ms,
                            "status": done.status,
                        },
                    )
                case _:
                    pass
        try:
            answer = await run.answer()
        except SpoolFull:
            yield event("error", {"code": "metering_unavailable", "run_id": run.lease.run_id})
            return
        yield closing_event(answer)
    finally:
        run.cancel("client_disconnected")


def closing_event(answer: Answer) -> bytes:
    """Return the event that ends a stream."""
    return event(f"run.{answer.status}", answer)


async def replay(answer: Answer) -> AsyncIterator[bytes]:
    """Yield a finished run as a stream, for a repeated request."""
    yield event("run.started", {"run_id": answer.run_id, "model": answer.model})
    if answer.output:
        yield event("message.delta", {"text": answer.output})
    yield closing_event(answer)
