"""Server-sent events as bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from console_api.live.models import LiveState, WindowKey
from console_api.totals import wire_totals
from console_api.wallet.service import wire_amounts
from schemas.directory import InstanceRecord

#: First bytes of a stream: how long a browser waits before it reconnects.
RETRY = b"retry: 1000\n\n"
_encode = msgspec.json.encode


def frame(event: str, data: object, event_id: str | None = None) -> bytes:
    """Return one event. JSON holds no raw line break, so the data is one line."""
    head = f"id: {event_id}\nevent: {event}\n" if event_id else f"event: {event}\n"
    return head.encode() + b"data: " + _encode(data) + b"\n\n"


def heartbeat(now_ms: int) -> bytes:
    """Return a comment that proves the stream alive."""
    return f": heartbeat {now_ms}\n\n".encode()


def live_data(
    instance: InstanceRecord, state: LiveState, windows: Collection[WindowKey], now_ms: int
) -> dict[str, object]:
    """Return the data of `LiveEvent` with these windows; all values are absolute."""
    listed: dict[str, list[dict[str, int | str]]] = {"second5": [], "minute": []}
    for key in sorted(windows):
        values = state.windows.get(key)
        if values is not None:
            listed[key[0]].append({"start_ms": key[1], **wire_totals(values)})
    wallet = {"org_id": instance.org_id, "read_at_ms": state.read_at_ms, **wire_amounts(state.wallet)}
    return {
        "instance_id": instance.instance_id,
        "server_time_ms": now_ms,
        "read_at_ms": state.read_at_ms,
        "changed_at_ms": state.changed_at_ms,
        "stale": state.stale,
        "totals": wire_totals(state.totals),
        "wallet": wallet,
        "windows": listed,
    }
