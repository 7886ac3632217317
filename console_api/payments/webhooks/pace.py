"""How many deliveries of a provider one process takes."""

from __future__ import annotations

from kit.clock import Clock
from kit.problems import Unavailable


class TooFast(Unavailable):
    """Not 429: Saleor takes every 4xx for the last word and does not send again."""

    code, title = "rate_limited", "Too many deliveries at a time"


class Pace:
    """A token bucket per provider, which starts full and holds a minute's worth.

    Asked after the signature was verified: before it, anybody could use up the provider's share.
    """

    def __init__(self, max_per_minute: int, clock: Clock) -> None:
        self._most = max_per_minute
        self._clock = clock
        #: Thousandths of a delivery that are left, and when that was so.
        self._left: dict[str, tuple[int, int]] = {}

    def take(self, provider: str) -> None:
        """Count one delivery. Raises `TooFast` when there are too many."""
        now, most = self._clock(), self._most * 1_000
        left, then = self._left.get(provider, (most, now))
        left = min(most, left + max(0, now - then) * self._most // 60)
        if left < 1_000:
            # `then` stays: a refill of less than one thousandth would be lost with every refusal.
            raise TooFast("Send it again later.", headers={"Retry-After": "5"})
        self._left[provider] = (left - 1_000, now)
