"""Corrections, the runs that they are of, and what they did: the reads of all three stores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import sql
from console_api.database.statements import insert_if_new
from console_api.database.tables import Org, RunCorrection
from console_api.stores import Stores
from kit.redis_client import get_bytes
from metering import metered
from metering.metered import MeteredRun
from schemas import keys

#: Where a correction stands in the order of a list: `created_at_ms`, `request_id`.
Place = tuple[int, str]
_ADJUSTMENTS = sql.read(__file__, "adjustments")


async def run(stores: Stores, tenant_id: str, run_id: str) -> MeteredRun | None:
    """Return a tenant's run as the metering worker keeps it. Raises `RedisError`.

    Which partition it is on only its org says, and whoever asks need not know that one.
    """
    found = await asyncio.gather(
        *(get_bytes(stores.redis, keys.run(partition, run_id)) for partition in range(stores.partitions))
    )
    for blob in found:
        if blob is not None:
            known = metered.decode(blob)
            if known.state.identity.tenant_id == tenant_id:
                return known
    return None


async def add(session: AsyncSession, row: RunCorrection) -> bool:
    """Write a correction down; return whether it was new."""
    columns = RunCorrection.__table__.columns.keys()
    return await insert_if_new(session, RunCorrection, **{name: getattr(row, name) for name in columns})


async def one(session: AsyncSession, tenant_id: str, request_id: str) -> RunCorrection | None:
    return await session.get(RunCorrection, (tenant_id, request_id))


async def page(
    session: AsyncSession, tenant_id: str, org_id: str, before: Place | None, limit: int
) -> Sequence[Row[RunCorrection, str]]:
    """Return corrections with the names of their orgs, newest first."""
    query = (
        select(RunCorrection, Org.name)
        .join(Org, Org.org_id == RunCorrection.org_id)
        .where(RunCorrection.tenant_id == tenant_id)
    )
    if org_id:
        query = query.where(RunCorrection.org_id == org_id)
    if before is not None:
        query = query.where(tuple_(RunCorrection.created_at_ms, RunCorrection.request_id) < before)
    order = (RunCorrection.created_at_ms.desc(), RunCorrection.request_id.desc())
    return (await session.execute(query.order_by(*order).limit(limit))).all()


async def adjustments(stores: Stores, tenant_id: str, rows: Sequence[RunCorrection]) -> dict[str, int]:
    """Return what the ledger says of corrections, by `<run>/<request>`. Raises `WarehouseAway`."""
    if not rows:
        return {}
    parameters = {
        "tenant_id": tenant_id,
        "org_ids": sorted({row.org_id for row in rows}),
        "entry_ids": [entry_id(row) for row in rows],
        "from_ms": min(row.created_at_ms for row in rows),
    }
    found = await stores.warehouse.rows(_ADJUSTMENTS, parameters)
    return {row["entry_id"]: int(row["amount_micro"]) for row in found}


def entry_id(row: RunCorrection) -> str:
    return f"{row.run_id}/{row.request_id}"
