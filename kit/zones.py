"""Time zones by name."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import available_timezones


@lru_cache(maxsize=1)
def known() -> frozenset[str]:
    """Return the IANA names of all zones that there are here."""
    return frozenset(available_timezones())
