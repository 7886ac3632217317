"""How many deliveries of a provider one process takes."""

from __future__ import annotations

from console_api import pace
from kit.problems import Unavailable


class TooFast(Unavailable):
    """Not 429: Saleor takes every 4xx for the last word and does not send again."""

    code, title = "rate_limited", "Too many deliveries at a time"


class Pace(pace.Pace):
    """Asked after the signature was verified: before it, anybody could use up the provider's share."""

    def take(self, provider: str) -> None:
        """Count one delivery. Raises `TooFast` when there are too many."""
        if not self.allows(provider):
            raise TooFast("Send it again later.", headers={"Retry-After": "5"})
