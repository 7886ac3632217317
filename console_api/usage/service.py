"""Totals and zero-filled series out of the warehouse's sums."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from operator import itemgetter

from console_api.money import credits_of
from console_api.stores import Stores
from console_api.times import iso
from console_api.totals import WIRE_NAMES
from console_api.usage import repository, windows
from console_api.usage.models import OTHER, UsageQuestion, UsageTotals
from console_api.warehouse import Row
from schemas.directory import InstanceRecord

#: Sums by wire name; a series has thousands of them, so they are plain dicts of the shape of `UsageTotals`.
Sums = dict[str, int | float | str]

_NOTHING: Sums = UsageTotals().model_dump()
_values = itemgetter(*WIRE_NAMES)


async def usage(stores: Stores, instance: InstanceRecord, question: UsageQuestion) -> dict[str, object]:
    """Answer the question in the shape of `models.Usage`.

    Raises `InvalidRequest` (too many buckets) and `WarehouseAway`.
    """
    starts = windows.starts(question.window, question.span, question.tz)
    asked, newest_ms = repository.usage(stores, instance, question), None
    if question.span.open:
        rows = await asked
    else:
        rows, newest_ms = await asyncio.gather(asked, repository.newest_ms(stores, instance))
    whole = next((row for row in rows if row["level"] == 0 and int(row["started"])), None)
    if whole and question.span.open:
        # What is recorded last belongs to what there is until now, unless it is a correction.
        newest_ms = int(whole["recorded_at"].timestamp() * 1000)
    elif question.span.open:
        newest_ms = await repository.newest_ms(stores, instance)
    grouped = question.group_by != "none"
    groups = _groups(rows) if grouped else {}
    return {
        "instance_id": instance.instance_id,
        "from_ms": question.span.from_ms,
        "to_ms": question.span.to_ms,
        "window": question.window,
        "group_by": question.group_by,
        "timezone": question.tz.key,
        "totals": _sums(whole) if whole else _NOTHING,
        "groups": [{"key": key, "totals": totals} for key, totals in groups.items()],
        "series": _series(rows, starts, list(groups) if grouped else [None]),
        "freshness": {"recorded_at_ms": newest_ms, "recorded_at": iso(newest_ms) if newest_ms else None},
    }


async def parquet(stores: Stores, instance: InstanceRecord, question: UsageQuestion) -> AsyncIterator[bytes]:
    """Return the series as a Parquet file, without the buckets that nothing was used in.

    Raises `InvalidRequest` (too many buckets), `WarehouseAway` and `TooLarge`, all before the first piece.
    """
    windows.starts(question.window, question.span, question.tz)
    return await repository.file(stores, instance, question)


def _sums(row: Row) -> Sums:
    sums: Sums = dict(zip(WIRE_NAMES, _values(row), strict=True))
    sums["credits"] = credits_of(row["credits_micro"])
    for name, value in zip(("p50", "p95", "p99"), row["durations"], strict=True):
        sums[f"duration_{name}_ms"] = 0.0 if math.isnan(value) else round(value, 1)
    return sums


def _groups(rows: list[Row]) -> dict[str, Sums]:
    """Return the groups' totals, dearest first, the rest at the end."""
    found = [row for row in rows if row["level"] == 1]
    found.sort(
        key=lambda row: (row["group_key"] == OTHER, -row["credits_micro"], -row["started"], row["group_key"])
    )
    return {row["group_key"]: _sums(row) for row in found}


def _series(rows: list[Row], starts: list[int], groups: list[str] | list[None]) -> list[dict[str, object]]:
    by_place = {(row["group_key"], int(row["bucket_ms"])): _sums(row) for row in rows if row["level"] == 2}
    # Union: where a clock change moved a bucket's start, no usage may fall between two buckets.
    every = [(start, iso(start)) for start in sorted({*starts, *(start for _, start in by_place)})]
    return [
        {
            "group": group,
            "points": [
                {"start_ms": start, "start": text, **by_place.get((group or "", start), _NOTHING)}
                for start, text in every
            ],
        }
        for group in groups
    ]
