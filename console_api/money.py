"""Credits on the wire. Money is integer micro-credits inside; a decimal string beside it is for people."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MICRO = 1_000_000

#: Exact decimal with six places, e.g. `"12.500000"`; negative where a correction took back.
Credits = Annotated[str, Field(pattern=r"^-?\d+\.\d{6}$", examples=["12.500000"])]
#: The same amount as an integer: 1 credit = 1,000,000 micro-credits.
CreditsMicro = Annotated[int, Field(examples=[12_500_000])]


def credits_of(micro: int) -> str:
    """Return micro-credits as an exact decimal number of credits."""
    sign = "-" if micro < 0 else ""
    whole, rest = divmod(abs(micro), MICRO)
    return f"{sign}{whole}.{rest:06d}"


def wire(**amounts: int) -> dict[str, int | str]:
    """Return each amount of micro-credits twice: a decimal string and `<name>_micro`."""
    named: dict[str, int | str] = {}
    for name, micro in amounts.items():
        named[name] = credits_of(micro)
        named[f"{name}_micro"] = micro
    return named
