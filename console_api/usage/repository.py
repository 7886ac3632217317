"""Usage rows, from ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator

from console_api import sql
from console_api.stores import Stores
from console_api.usage import statement
from console_api.usage.models import UsageQuestion
from console_api.warehouse import Row
from schemas.directory import InstanceRecord

_FRESHNESS = sql.read(__file__, "freshness")
_FILE = sql.read(__file__, "file")
#: Buckets (minutes of 31 days at most) times groups.
_MAX_FILE_ROWS = 500_000


async def usage(stores: Stores, instance: InstanceRecord, question: UsageQuestion) -> list[Row]:
    """Return sums by `level` (0 overall, 1 group, 2 bucket and group). Raises `WarehouseAway`."""
    return await stores.warehouse.rows(*statement.usage(instance, question))


async def file(stores: Stores, instance: InstanceRecord, question: UsageQuestion) -> AsyncIterator[bytes]:
    """Return sums by bucket and group as a Parquet file. Raises `WarehouseAway` and `TooLarge`."""
    text, parameters = statement.usage(instance, question)
    return await stores.warehouse.stream(_FILE.replace("{usage}", text), parameters, {}, _MAX_FILE_ROWS)


async def newest_ms(stores: Stores, instance: InstanceRecord) -> int | None:
    """Return when the instance's newest row was recorded, `None` without rows. Raises `WarehouseAway`."""
    (row,) = await stores.warehouse.rows(_FRESHNESS, sql.scope(instance))
    return int(row["recorded_at_ms"]) if row["found"] else None
