"""An instance's API keys."""

from __future__ import annotations

from msgspec import Struct

from console.api import Call
from console.calls.paging import all_pages, paged
from console.visitor import Visitor, part


class Key(Struct, frozen=True):
    """A key as lists show it: never the key itself."""

    key_id: str
    kind: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    status: str
    created_at_ms: int
    created_by: str
    expires_at_ms: int
    revoked_at_ms: int
    last_used_at_ms: int
    rotated_from: str | None = None


class ShownKey(Key, frozen=True, kw_only=True):
    """A new key, shown once."""

    key: str


class BlockedOrigin(Struct, frozen=True):
    """A page that a widget's key does not name, and how often it tried in the last seven days."""

    origin: str
    tries: int


class _Blocked(Struct, frozen=True):
    origins: tuple[BlockedOrigin, ...]


class KeyPage(Struct, frozen=True):
    api_keys: tuple[Key, ...]
    next_cursor: str | None


def _path(instance_id: str, key_id: str = "") -> str:
    return f"/instances/{part(instance_id)}/api_keys" + (f"/{part(key_id)}" if key_id else "")


async def keys(visitor: Visitor, instance_id: str) -> tuple[Key, ...]:
    """Return all keys, the newest first."""
    path = _path(instance_id)
    pages = await all_pages(lambda cursor: visitor.get(path, KeyPage, paged(cursor)))
    return tuple(key for page in pages for key in page.api_keys)


async def create(
    visitor: Visitor,
    instance_id: str,
    *,
    kind: str,
    name: str,
    origins: tuple[str, ...] = (),
    scopes: tuple[str, ...] = (),
    expires_at_ms: int = 0,
) -> ShownKey:
    body = {
        "kind": kind,
        "name": name,
        "allowed_origins": origins,
        "scopes": scopes,
        "expires_at_ms": expires_at_ms,
    }
    return await visitor.post(_path(instance_id), ShownKey, body)


async def allow_origins(visitor: Visitor, instance_id: str, key_id: str, origins: tuple[str, ...]) -> None:
    """Let a widget's key open on these pages, and no others."""
    await visitor.call(Call("PATCH", _path(instance_id, key_id), body={"allowed_origins": origins}))


async def blocked_origins(visitor: Visitor, instance_id: str, key_id: str) -> tuple[BlockedOrigin, ...]:
    """Return the pages that tried a widget's key in vain, the most frequent first."""
    return (await visitor.get(f"{_path(instance_id, key_id)}/blocked_origins", _Blocked)).origins


async def rotate(visitor: Visitor, instance_id: str, key_id: str, grace_s: int) -> ShownKey:
    return await visitor.post(f"{_path(instance_id, key_id)}:rotate", ShownKey, {"grace_s": grace_s})


async def revoke(visitor: Visitor, instance_id: str, key_id: str) -> None:
    await visitor.call(Call("DELETE", _path(instance_id, key_id)))
