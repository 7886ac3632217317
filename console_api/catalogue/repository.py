"""Products and plans: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.base import Base
from console_api.database.tables import Plan, Product


def add(session: AsyncSession, row: Base) -> None:
    session.add(row)


async def product(session: AsyncSession, tenant_id: str, code: str, *, lock: bool = False) -> Product | None:
    query = select(Product).where(Product.tenant_id == tenant_id, Product.code == code)
    return await session.scalar(query.with_for_update() if lock else query)


async def products(
    session: AsyncSession, tenant_id: str, statuses: Sequence[str], after: str, limit: int
) -> Sequence[Product]:
    """Return products by code."""
    query = select(Product).where(
        Product.tenant_id == tenant_id, Product.status.in_(statuses), Product.code > after
    )
    return (await session.scalars(query.order_by(Product.code).limit(limit))).all()


def _plans(tenant_id: str) -> Select[Plan, str]:
    return (
        select(Plan, Product.code)
        .join(Product, Product.product_id == Plan.product_id)
        .where(Plan.tenant_id == tenant_id)
    )


async def plan(
    session: AsyncSession, tenant_id: str, code: str, *, lock: bool = False
) -> tuple[Plan, str] | None:
    """Return a plan with its product's code."""
    query = _plans(tenant_id).where(Plan.code == code)
    row = (await session.execute(query.with_for_update(of=Plan) if lock else query)).one_or_none()
    return None if row is None else (row[0], row[1])


async def plans(
    session: AsyncSession,
    tenant_id: str,
    product_code: str | None,
    statuses: Sequence[str],
    *,
    after: str,
    limit: int,
) -> list[tuple[Plan, str]]:
    """Return plans by code, with their products' codes."""
    query = _plans(tenant_id).where(Plan.status.in_(statuses), Plan.code > after)
    if product_code is not None:
        query = query.where(Product.code == product_code)
    rows = await session.execute(query.order_by(Plan.code).limit(limit))
    return [(row[0], row[1]) for row in rows]
