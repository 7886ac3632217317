"""A caller's own name for a change: with it the same again is the same change, not another one."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header

_Header = Annotated[
    str, Header(min_length=8, max_length=255, description="Yours: the same again is the same change")
]


def _key(idempotency_key: _Header) -> str:
    return idempotency_key


IdempotencyKeyDep = Annotated[str, Depends(_key)]


def id_of(prefix: str, *parts: str) -> str:
    """Return the id of the one thing that these parts name, such as a tenant and a caller's key."""
    return f"{prefix}_{sha256(chr(0).join(parts).encode()).hexdigest()[:26]}"
