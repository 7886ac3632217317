"""Time and identity, as things that are handed in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

#: Returns Unix milliseconds.
Clock = Callable[[], int]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def now_ms() -> int:
    """Return the system's Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """Return a unique, time-ordered id such as `run_01kav3…` (ULID layout: 48 bits of ms, 80 random)."""
    value = (now_ms() << 80) | int.from_bytes(os.urandom(10))
    digits = [_ALPHABET[(value >> shift) & 31] for shift in range(125, -5, -5)]
    return f"{prefix}_{''.join(digits)}"
