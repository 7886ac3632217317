"""What is known of one run: as it was metered (Redis), and as history has it (ClickHouse)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from console_api import sql
from console_api.inspection.models import MAX_ROWS
from console_api.stores import Stores
from console_api.warehouse import Row
from kit.redis_client import get_bytes
from metering.metered import MeteredRun
from metering.prices import PriceBook
from schemas import keys
from schemas.directory import InstanceRecord

_QUERIES = {
    name: sql.read(__file__, name) for name in ("calls", "tool_calls", "corrections", "ledger", "events")
}
_decode_run = msgspec.msgpack.Decoder(MeteredRun).decode
_decode_book = msgspec.json.Decoder(PriceBook).decode


class History(Struct, frozen=True):
    """Rows of one run, by what they are about; one more than `MAX_ROWS` where there are more."""

    calls: list[Row]
    tool_calls: list[Row]
    corrections: list[Row]
    ledger: list[Row]
    events: list[Row]


async def metered(stores: Stores, instance: InstanceRecord, run_id: str) -> MeteredRun | None:
    """Return the instance's run as it was last charged, while that is kept. Raises `RedisError`."""
    found = await metered_in_org(stores, instance.tenant_id, instance.org_id, run_id)
    mine = found is not None and found.state.identity.instance_id == instance.instance_id
    return found if mine else None


async def metered_in_org(stores: Stores, tenant_id: str, org_id: str, run_id: str) -> MeteredRun | None:
    """Return an org's run as it was last charged, while that is kept. Raises `RedisError`."""
    raw = await get_bytes(stores.redis, keys.run(stores.partition(org_id), run_id))
    if raw is None:
        return None
    found = _decode_run(raw)
    whose = found.state.identity
    return found if (whose.tenant_id, whose.org_id) == (tenant_id, org_id) else None


async def books(stores: Stores, versions: Iterable[str]) -> dict[str, PriceBook]:
    """Return those of the price books that there are. Raises `RedisError`."""
    wanted = sorted(versions)
    # Single reads in a pipeline: books may live on different shards.
    pipeline = stores.redis.pipeline(transaction=False)
    for version in wanted:
        pipeline.get(keys.price_book(version))
    found = zip(wanted, await pipeline.execute(), strict=True)
    return {version: _decode_book(raw) for version, raw in found if raw}


async def history(stores: Stores, instance: InstanceRecord, run_id: str, started_at_ms: int) -> History:
    """Return the rows of a run that started then. Raises `WarehouseAway`."""
    parameters = {
        **sql.scope(instance),
        "run_id": run_id,
        # With it a run is found by the tables' order, without reading the instance's other runs.
        "started_at_ms": started_at_ms,
        "limit": MAX_ROWS + 1,
    }
    found = await asyncio.gather(*(stores.warehouse.rows(text, parameters) for text in _QUERIES.values()))
    return History(*found)
