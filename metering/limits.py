"""How many requests or tokens a minute allows: the generic cell rate algorithm, in whole microseconds.

GCRA keeps one number, the *theoretical arrival time* at which everything that was let through would have
fitted the steady rate (ITU-T I.371, annex A; the "virtual scheduling" form). Here the burst tolerance is one
minute: after a quiet minute the whole allowance may be spent at once, and it comes back evenly.

`gateway/admit.lua` does the same inside the one call that admits a run. Both round what a request takes down
to a microsecond, so that an allowance that does not divide a minute is not one short; all numbers stay below
2^53, where Lua's are exact.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: Both the period an allowance is given for and the longest it may be saved up.
WINDOW_US: Final = 60_000_000


class Rated(Struct, frozen=True):
    """What became of a request, and how its rate stands after it.

    `retry_after_us`: when the same request would be let through; 0 if it was, -1 if it never will be.
    `remaining` may be spent at once now; `reset_us` from now it is the whole allowance again.
    """

    allowed: bool
    arrival_us: int
    retry_after_us: int
    remaining: int
    reset_us: int


def rate(arrival_us: int, now_us: int, cost: int, per_minute: int) -> Rated:
    """Let `cost` through at `now_us`, if the rate allows it. `arrival_us` is what the last `Rated` left.

    What is refused takes nothing. A cost above a whole minute's allowance is never let through.
    """
    reached = max(arrival_us, now_us)
    wanted = reached + max(1, cost * WINDOW_US // per_minute)
    if cost > per_minute:
        return _rated(False, reached, -1, now_us, per_minute)
    if wanted - now_us > WINDOW_US:
        return _rated(False, reached, wanted - now_us - WINDOW_US, now_us, per_minute)
    return _rated(True, wanted, 0, now_us, per_minute)


def _rated(allowed: bool, arrival_us: int, retry_after_us: int, now_us: int, per_minute: int) -> Rated:
    taken_us = arrival_us - now_us
    remaining = max(0, WINDOW_US - taken_us) * per_minute // WINDOW_US
    return Rated(allowed, arrival_us, retry_after_us, remaining, taken_us)
