"""A run as the metering worker keeps it, and what a correction would change about it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from metering.corrections import Adjustment, corrected_cost, versions_of
from metering.prices import PriceBook
from metering.runs import RunState, merge
from metering.totals import Totals
from schemas.events import CorrectionEvent


class MeteredRun(Struct, array_like=True):
    """A run as stored: its merged events, what it added to the counters, and the adjustments in that."""

    state: RunState
    totals: Totals
    adjustments: tuple[Adjustment, ...] = ()


decode = msgspec.msgpack.Decoder(MeteredRun).decode


def books_needed(run: MeteredRun, event: CorrectionEvent) -> set[str]:
    """Return the price books that say what the correction changes."""
    return versions_of(merge(run.state, event))


def change(run: MeteredRun, event: CorrectionEvent, books: Mapping[str, PriceBook]) -> int:
    """Return what the correction adds to the run's charge, in micro-credits; 0 if it was applied before.

    Raises `KeyError` when one of `books_needed` is missing.
    """
    if event.request_id in run.state.corrections:
        return 0
    before = corrected_cost(run.state, books)[1].micro
    return corrected_cost(merge(run.state, event), books)[1].micro - before
