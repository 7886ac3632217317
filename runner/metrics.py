"""What the runner tells Prometheus; declared in `kit.metrics.serving`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from kit.metrics import counter, gauge, histogram, serving
from schemas.events import ToolStatus

IN_FLIGHT = gauge(serving.EXECUTIONS)
ANSWERED, FAILED, LEFT = (
    counter(serving.MODEL_CALLS).labels(outcome) for outcome in ("answered", "failed", "left")
)
MODEL_SECONDS = histogram(serving.MODEL_SECONDS)
FIRST_CHUNK_SECONDS = histogram(serving.MODEL_FIRST_SECONDS)
_TOOL_STATUSES: tuple[ToolStatus, ...] = ("ok", "error", "timeout")
TOOL_CALLS = {status: counter(serving.TOOL_CALLS).labels(status) for status in _TOOL_STATUSES}


@contextlib.contextmanager
def model_call() -> Iterator[None]:
    """Count a model call by how it ends, with its time. `left`: the answer was not waited for."""
    began, ended = time.monotonic(), FAILED
    try:
        yield
        ended = ANSWERED
    except asyncio.CancelledError:
        ended = LEFT
        raise
    finally:
        ended.inc()
        MODEL_SECONDS.observe(time.monotonic() - began)
