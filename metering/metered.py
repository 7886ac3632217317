"""A run as the metering worker stores it, which is what its wallet was charged for."""

from __future__ import annotations

from msgspec import Struct

from metering.corrections import Adjustment
from metering.runs import RunState
from metering.totals import Totals


class MeteredRun(Struct, array_like=True):
    """A run as stored: its merged events, what it added to the counters, and the adjustments in that."""

    state: RunState
    totals: Totals
    adjustments: tuple[Adjustment, ...] = ()
