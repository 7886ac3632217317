"""Usage rows, from ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict

from console_api import rollups, sql
from console_api.stores import Stores
from console_api.usage import windows
from console_api.usage.models import MAX_GROUPS, OTHER, UsageQuestion
from console_api.warehouse import Row
from schemas.directory import InstanceRecord

_USAGE = sql.read(__file__, "usage")
_LARGEST_GROUPS = sql.read(__file__, "largest_groups")
_FRESHNESS = sql.read(__file__, "freshness")
_FILE = sql.read(__file__, "file").replace("{usage}", _USAGE)
#: Buckets (minutes of 31 days at most) times groups.
_MAX_FILE_ROWS = 500_000


def _parameters(instance: InstanceRecord, question: UsageQuestion) -> dict[str, object]:
    pieces = rollups.cut(question.span, windows.unit(question.window, question.span, question.tz))
    bound = asdict(pieces)
    return {**sql.scope(instance), "rollup": bound.pop("table"), **bound, "group_by": question.group_by}


async def largest_groups(stores: Stores, instance: InstanceRecord, question: UsageQuestion) -> list[str]:
    """Return the keys of the groups that cost most. Raises `WarehouseAway`."""
    parameters = {**_parameters(instance, question), "limit": MAX_GROUPS}
    return [row["group_key"] for row in await stores.warehouse.rows(_LARGEST_GROUPS, parameters)]


async def usage(
    stores: Stores, instance: InstanceRecord, question: UsageQuestion, kept: list[str]
) -> list[Row]:
    """Return sums by `level` (0 overall, 1 group, 2 bucket and group). Raises `WarehouseAway`."""
    return await stores.warehouse.rows(_USAGE, _grouped(instance, question, kept))


async def file(
    stores: Stores, instance: InstanceRecord, question: UsageQuestion, kept: list[str]
) -> AsyncIterator[bytes]:
    """Return sums by bucket and group as a Parquet file. Raises `WarehouseAway` and `TooLarge`."""
    return await stores.warehouse.stream(_FILE, _grouped(instance, question, kept), {}, _MAX_FILE_ROWS)


def _grouped(instance: InstanceRecord, question: UsageQuestion, kept: list[str]) -> dict[str, object]:
    return {
        **_parameters(instance, question),
        "window": question.window,
        "tz": question.tz.key,
        "kept": kept,
        "other": OTHER,
    }


async def newest_ms(stores: Stores, instance: InstanceRecord) -> int | None:
    """Return when the instance's newest row was recorded, `None` without rows. Raises `WarehouseAway`."""
    (row,) = await stores.warehouse.rows(_FRESHNESS, sql.scope(instance))
    return int(row["recorded_at_ms"]) if row["found"] else None
