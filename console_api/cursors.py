"""Opaque page cursors: where the last page ended. Their content is no contract."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from kit.problems import InvalidRequest

Place = TypeVar("Place")


def encode(place: tuple[str | int, ...]) -> str:
    """Return a cursor that stands for a place in an order."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode(cursor: str, kind: type[Place]) -> Place:
    """Return the place. Raises `InvalidRequest` for a cursor this API did not make."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, msgspec.MsgspecError, UnicodeError, ValueError):
        raise InvalidRequest("The cursor is not one of ours; start again without it.") from None
