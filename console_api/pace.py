"""How often something may happen in one process."""

from __future__ import annotations

from kit.clock import Clock


class Pace:
    """A token bucket for each of a few names, which starts full and holds a minute's worth."""

    def __init__(self, max_per_minute: int, clock: Clock) -> None:
        self._most = max_per_minute
        self._clock = clock
        #: Thousandths of a turn that are left, and when that was so.
        self._left: dict[str, tuple[int, int]] = {}

    def allows(self, name: str) -> bool:
        """Count one turn, unless there are too many; return whether it was counted."""
        now, most = self._clock(), self._most * 1_000
        left, then = self._left.get(name, (most, now))
        left = min(most, left + max(0, now - then) * self._most // 60)
        if left < 1_000:
            # `then` stays: a refill of less than one thousandth would be lost with every refusal.
            return False
        self._left[name] = (left - 1_000, now)
        return True
