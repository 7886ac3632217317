"""The counters of `metering.totals.COUNTERS` as they stand on the wire."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from console_api.money import Credits, CreditsMicro, credits_of
from metering.totals import CHARGED, COUNTERS

#: Counter names on the wire: money is named by its unit.
WIRE_NAMES = tuple("credits_micro" if name == "charged" else name for name in COUNTERS)


class Totals(BaseModel):
    """Usage added up. `started` counts every run, `runs` those that ended; tokens are exact counts.

    `tokens_in` includes `cache_read` and `cache_write`; `reasoning` is a part of `tokens_out`.
    """

    model_config = ConfigDict(frozen=True)

    started: int = 0
    runs: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    limit_exceeded: int = 0
    lost: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    duration_ms: int = 0
    credits: Credits = "0.000000"
    credits_micro: CreditsMicro = 0


def wire_totals(vector: Sequence[int]) -> dict[str, int | str]:
    """Return a counter vector (order of `COUNTERS`) by its wire names, with credits as a decimal too."""
    named: dict[str, int | str] = dict(zip(WIRE_NAMES, vector, strict=True))
    named["credits"] = credits_of(vector[CHARGED])
    return named
