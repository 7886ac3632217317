"""Credits in fields: people write decimals, the API takes whole micro-credits."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

_MICRO = 1_000_000


def micro_of(value: Any) -> int | None:
    """Return what was typed in micro-credits; `None` when nothing, or no number, was."""
    if value is None or value == "":
        return None
    try:
        return int((Decimal(str(value)) * _MICRO).to_integral_value())
    except (InvalidOperation, ValueError):
        return None


def credits_in(micro: int) -> float:
    """Return micro-credits as a field shows them."""
    return micro / _MICRO


def signed(text: str, micro: int) -> str:
    """Return an amount with a plus where it is more than nothing."""
    return f"+{text}" if micro > 0 else text
