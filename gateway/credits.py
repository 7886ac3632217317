"""Credits as clients read them."""

from __future__ import annotations

from metering.prices import MICRO_PER_CREDIT


def as_credits(micro: int) -> str:
    """Return micro-credits as a decimal string of credits."""
    sign = "-" if micro < 0 else ""
    whole, part = divmod(abs(micro), MICRO_PER_CREDIT)
    return f"{sign}{whole}.{part:06d}"
