"""Books and the usage that they price: the SQL of both stores."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import sql
from console_api.database.tables import PriceBookRow
from console_api.stores import Stores
from metering.repricing import UsedTokens

_CALLS, _TOOLS, _RUNS = (sql.read(__file__, name) for name in ("calls", "tools", "runs"))


async def book(session: AsyncSession, tenant_id: str, version: str) -> PriceBookRow | None:
    return await session.get(PriceBookRow, (version, tenant_id))


async def books(session: AsyncSession, tenant_id: str, limit: int) -> Sequence[PriceBookRow]:
    """Return a tenant's newest books."""
    query = select(PriceBookRow).where(PriceBookRow.tenant_id == tenant_id)
    found = await session.scalars(query.order_by(PriceBookRow.created_at_ms.desc()).limit(limit))
    return found.all()


async def count(session: AsyncSession, tenant_id: str) -> int:
    query = select(func.count()).where(PriceBookRow.tenant_id == tenant_id)
    return int(await session.scalar(query) or 0)


async def calls(
    stores: Stores, tenant_id: str, span: tuple[int, int], thresholds: list[int]
) -> list[UsedTokens]:
    """Return what models were used for, the most used first. Raises `WarehouseAway`."""
    rows = await stores.warehouse.rows(_CALLS, {**_bound(tenant_id, span), "thresholds": thresholds})
    return [UsedTokens(**row) for row in rows]


async def tools(stores: Stores, tenant_id: str, span: tuple[int, int]) -> dict[str, int]:
    """Return how often each tool was called. Raises `WarehouseAway`."""
    rows = await stores.warehouse.rows(_TOOLS, _bound(tenant_id, span))
    return {row["tool"]: int(row["calls"]) for row in rows}


async def runs(stores: Stores, tenant_id: str, span: tuple[int, int]) -> int:
    """Return how many runs used something. Raises `WarehouseAway`."""
    (row,) = await stores.warehouse.rows(_RUNS, _bound(tenant_id, span))
    return int(row["runs"])


def _bound(tenant_id: str, span: tuple[int, int]) -> dict[str, object]:
    return {"tenant_id": tenant_id, "from_ms": span[0], "to_ms": span[1]}
