"""Keys that the console itself uses at the gateway: made for a session, kept on the server, soon over."""

from __future__ import annotations

import contextlib
import time

from console.api import ApiError
from console.calls import keys
from console.visitor import Visitor

#: How they are called in the list of keys.
CHAT, PREVIEW = "Test chat", "Preview"
NAMES = (CHAT, PREVIEW)

_KEPT = "session_keys"
_LIVES_MS = 8 * 3_600_000
_EARLY_MS = 600_000


def kept(visitor: Visitor, instance_id: str, name: str) -> str:
    """Return the session's key of that name for an instance; empty when there is none that lasts."""
    known = dict(visitor.storage.get(_KEPT) or {}).get(_place(visitor, instance_id, name))
    lasts = known and known["expires_at_ms"] - _EARLY_MS > int(time.time() * 1000)
    return str(known["key"]) if known and lasts else ""


async def chat_key(visitor: Visitor, instance_id: str) -> str:
    """Make the key of the test chat, which may only run. Raises `ApiError`."""
    return await _made(visitor, instance_id, CHAT, kind="secret", scopes=("runs:write",))


async def preview_key(visitor: Visitor, instance_id: str, origin: str) -> str:
    """Make the key of the widget's preview, which opens on the console's pages only. Raises `ApiError`."""
    return await _made(visitor, instance_id, PREVIEW, kind="widget", origins=(origin,))


async def revoke(visitor: Visitor) -> None:
    """Revoke what this session was given; a key that cannot be revoked ends by itself."""
    for one in dict(visitor.storage.get(_KEPT) or {}).values():
        with contextlib.suppress(ApiError):
            await keys.revoke(visitor, one["instance_id"], one["key_id"])


async def _made(
    visitor: Visitor,
    instance_id: str,
    name: str,
    *,
    kind: str,
    scopes: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
) -> str:
    ends_ms = int(time.time() * 1000) + _LIVES_MS
    made = await keys.create(
        visitor, instance_id, kind=kind, name=name, scopes=scopes, origins=origins, expires_at_ms=ends_ms
    )
    known = dict(visitor.storage.get(_KEPT) or {})
    known[_place(visitor, instance_id, name)] = {
        "key": made.key,
        "key_id": made.key_id,
        "instance_id": instance_id,
        "expires_at_ms": made.expires_at_ms,
    }
    visitor.storage[_KEPT] = known
    return made.key


def _place(visitor: Visitor, instance_id: str, name: str) -> str:
    return f"{visitor.org_id}/{instance_id}/{name}"
