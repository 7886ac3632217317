"""How often a wrong password may be tried: by user, and by everybody."""

from __future__ import annotations

from collections import deque

from kit.clock import Clock

WINDOW_MS = 60_000
PER_USER = 5
OVERALL = 20


class Throttle:
    """Failures of the last minute. Its names are those of the development users: it cannot grow."""

    def __init__(self, now_ms: Clock) -> None:
        self._now_ms = now_ms
        self._by_user: dict[str, deque[int]] = {}
        self._all: deque[int] = deque(maxlen=OVERALL)

    def wait_s(self, subject: str) -> int:
        """Return for how many seconds nothing more is tried for a user; 0: go ahead."""
        mine = self._by_user.get(subject, deque())
        return max(self._left_s(mine, PER_USER), self._left_s(self._all, OVERALL))

    def failed(self, subject: str) -> None:
        """Note a wrong password."""
        now = self._now_ms()
        self._by_user.setdefault(subject, deque(maxlen=PER_USER)).append(now)
        self._all.append(now)

    def succeeded(self, subject: str) -> None:
        """Forgive a user's failures; those of everybody count on."""
        self._by_user.pop(subject, None)

    def _left_s(self, failures: deque[int], limit: int) -> int:
        if len(failures) < limit:
            return 0
        return max(0, -(-(failures[0] + WINDOW_MS - self._now_ms()) // 1_000))
