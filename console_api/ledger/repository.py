"""Rows of `ledger`, from ClickHouse."""

from __future__ import annotations

from console_api import sql
from console_api.auth.models import Principal
from console_api.ledger.models import LedgerFilter, Place
from console_api.stores import Stores
from console_api.warehouse import Row

_PAGE = sql.read(__file__, "page")
_COUNT = sql.read(__file__, "count")
_SUMS = sql.read(__file__, "sums")


def _parameters(principal: Principal, wanted: LedgerFilter) -> dict[str, object]:
    return {
        **sql.org_scope(principal.tenant_id, principal.org_id),
        "kinds": list(wanted.kinds),
        "reference_id": wanted.reference_id,
    }


async def before(
    stores: Stores, principal: Principal, wanted: LedgerFilter, place: Place, limit: int
) -> list[Row]:
    """Return up to `limit` entries before the place, newest first. Raises `WarehouseAway`."""
    parameters = {
        **_parameters(principal, wanted),
        "from_ms": place.from_ms,
        "before_ms": place.occurred_at_ms,
        "before_entry": place.entry_id,
        "limit": limit,
    }
    return await stores.warehouse.rows(_PAGE, parameters)


async def count(stores: Stores, principal: Principal, wanted: LedgerFilter) -> int:
    """Return how many entries there are. Raises `WarehouseAway`."""
    parameters = {
        **_parameters(principal, wanted),
        "from_ms": wanted.from_ms,
        "to_ms": wanted.to_ms,
    }
    (row,) = await stores.warehouse.rows(_COUNT, parameters)
    return int(row["lines"])


async def sums(stores: Stores, principal: Principal, at_ms: int) -> dict[str, Row]:
    """Return by kind what the entries up to a moment add up to. Raises `WarehouseAway`."""
    parameters = {**sql.org_scope(principal.tenant_id, principal.org_id), "at_ms": at_ms}
    return {row["kind"]: row for row in await stores.warehouse.rows(_SUMS, parameters)}
