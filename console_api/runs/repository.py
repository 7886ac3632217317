"""Rows of `runs`, from ClickHouse."""

from __future__ import annotations

from console_api import sql
from console_api.runs.models import Place, RunFilter
from console_api.stores import Stores
from console_api.warehouse import Row
from schemas.directory import InstanceRecord

_COLUMNS = """run_id, version, status, channel, key_id, model, streamed, end_user, error_code,
    toUnixTimestamp64Milli(started_at) AS started_at_ms, toUnixTimestamp64Milli(closed_at) AS closed_at_ms,
    duration_ms, tokens_in, tokens_out, cache_read, cache_write, reasoning, model_calls, tool_calls,
    charged_micro AS credits_micro, price_version, estimated, unpriced,
    toUnixTimestamp64Milli(recorded_at) AS recorded_at_ms"""
_PAGE = sql.read(__file__, "page").replace("{columns}", _COLUMNS)
_ONE = sql.read(__file__, "one").replace("{columns}", _COLUMNS)
_INSTANCE = sql.read(__file__, "instance")


async def before(
    stores: Stores, instance: InstanceRecord, wanted: RunFilter, place: Place, limit: int
) -> list[Row]:
    """Return up to `limit` runs that started before the place, newest first. Raises `WarehouseAway`."""
    parameters = {
        **sql.scope(instance),
        "from_ms": wanted.from_ms,
        "before_ms": place.started_at_ms,
        "before_run": place.run_id,
        "status": wanted.status,
        "model": wanted.model,
        "channel": wanted.channel,
        "limit": limit,
    }
    return await stores.warehouse.rows(_PAGE, parameters)


async def one(stores: Stores, instance: InstanceRecord, run_id: str) -> Row | None:
    """Return one run of the instance, if there is one. Raises `WarehouseAway`."""
    rows = await stores.warehouse.rows(_ONE, {**sql.scope(instance), "run_id": run_id})
    return rows[0] if rows else None


async def instance_of(stores: Stores, tenant_id: str, org_id: str, run_id: str) -> str:
    """Return which instance of an org a run is of; empty if there is no such run. Raises `WarehouseAway`."""
    rows = await stores.warehouse.rows(_INSTANCE, {**sql.org_scope(tenant_id, org_id), "run_id": run_id})
    return str(rows[0]["instance_id"]) if rows else ""
