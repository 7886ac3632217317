"""Usage over time."""

from __future__ import annotations

from msgspec import Struct

from console.calls.totals import TimedTotals
from console.visitor import Visitor, part


class Point(TimedTotals, frozen=True, kw_only=True):
    """One bucket."""

    start_ms: int


class Group(Struct, frozen=True):
    """Totals of one model, channel, status or key."""

    key: str
    totals: TimedTotals


class Series(Struct, frozen=True):
    """Every bucket of the range; `group` is `None` without grouping."""

    group: str | None
    points: tuple[Point, ...]


class Freshness(Struct, frozen=True):
    recorded_at_ms: int | None


class Usage(Struct, frozen=True):
    """Usage of one instance in a range."""

    from_ms: int
    to_ms: int
    window: str
    group_by: str
    totals: TimedTotals
    groups: tuple[Group, ...]
    series: tuple[Series, ...]
    freshness: Freshness


async def usage(
    visitor: Visitor, instance_id: str, *, start: str, to: str, window: str, group_by: str, tz: str
) -> Usage:
    query = {"from": start, "window": window, "group_by": group_by, "tz": tz, **({"to": to} if to else {})}
    return await visitor.get(f"/instances/{part(instance_id)}/usage", Usage, query)
