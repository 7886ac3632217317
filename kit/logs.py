"""Structured logs: one JSON object a line on standard error, never a secret."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar

import msgspec

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

_run_id: ContextVar[str] = ContextVar("run_id", default="")
_more: list[Callable[[], dict[str, str]]] = []


def about_run(run_id: str) -> None:
    """Name the run that this task, and every task it starts, is about: all their lines carry its id."""
    _run_id.set(run_id)


def also(fields: Callable[[], dict[str, str]]) -> None:
    """Have every line carry what this returns at the time, in the context that logs."""
    if fields not in _more:
        _more.append(fields)


class JsonFormatter(logging.Formatter):
    """`{"at", "level", "service", "logger", "message", …extra}`; an exception's traceback is one field."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if run_id := _run_id.get():
            line["run_id"] = run_id
        for fields in _more:
            line.update(fields())
        line.update({k: v for k, v in record.__dict__.items() if k not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure(service: str, level: str = "INFO") -> None:
    """Send every logger of this process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Their INFO lines repeat each rebalance, fetch and request.
    for noisy in ("aiokafka", "faust", "mode", "httpx", "httpx2", "httpcore", "openai", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
