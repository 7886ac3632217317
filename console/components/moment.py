"""A field for a moment. The server does not know the visitor's time zone, so it is asked for in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from console.components.fields import text_field


def moment_field(label: str, at_ms: int = 0, *, hint: str = "", testid: str = "") -> Any:
    """Draw a field for a date and a time; read it with `moment_of`."""
    value = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M") if at_ms else ""
    return text_field(f"{label} (UTC)", value, hint=hint, kind="datetime-local", longest=32, testid=testid)


def moment_of(field: Any) -> int | None:
    """Return the moment of a field in Unix ms, 0 when it is empty, `None` when it is no moment."""
    text = str(field.value or "").strip()
    if not text:
        return 0
    try:
        since = datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC)
    except ValueError:
        return None
    return since // timedelta(milliseconds=1)
