"""Server-sent events, parsed (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

#: A snapshot of an hour is some tens of kilobytes; a longer line is not ours.
_MAX_EVENT_BYTES = 1 << 20


@dataclass(frozen=True)
class ServerEvent:
    """One event; a comment (heartbeat) has the name `comment` and no data."""

    name: str
    data: bytes
    id: str


async def events(chunks: AsyncIterable[bytes]) -> AsyncIterator[ServerEvent]:
    """Yield events and comments until the bytes end. Raises `ValueError` when one is too long."""
    name, data, event_id = "message", b"", ""
    pending = b""
    async for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) + len(data) > _MAX_EVENT_BYTES:
            raise ValueError("an event exceeds its limit")
        for line in lines:
            field, _, value = line.rstrip(b"\r").partition(b":")
            value = value.removeprefix(b" ")
            if not field and value:
                yield ServerEvent("comment", b"", event_id)
            elif field == b"event":
                name = value.decode()
            elif field == b"id":
                event_id = value.decode()
            elif field == b"data":
                data = data + b"\n" + value if data else value
            elif not field and data:
                yield ServerEvent(name, data, event_id)
                name, data = "message", b""
