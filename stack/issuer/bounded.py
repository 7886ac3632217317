"""A dictionary that forgets: what has expired, and the oldest when it is full."""

from __future__ import annotations

from typing import Generic, TypeVar

from kit.clock import Clock

Value = TypeVar("Value")


class Bounded(Generic[Value]):
    """Entries that all live equally long. `ttl_ms`: milliseconds; `size`: how many there are at most."""

    def __init__(self, size: int, ttl_ms: int, now_ms: Clock) -> None:
        self._size, self._ttl_ms, self._now_ms = size, ttl_ms, now_ms
        self._entries: dict[str, tuple[int, Value]] = {}

    def put(self, key: str, value: Value) -> None:
        """Add an entry."""
        now = self._now_ms()
        while self._entries:
            oldest = next(iter(self._entries))
            if len(self._entries) < self._size and self._entries[oldest][0] > now:
                break
            del self._entries[oldest]
        self._entries[key] = (now + self._ttl_ms, value)

    def get(self, key: str) -> Value | None:
        """Return what is there and has not expired."""
        ends_ms, value = self._entries.get(key, (0, None))
        return value if ends_ms > self._now_ms() else None

    def drop(self, key: str) -> None:
        """Forget an entry."""
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)
