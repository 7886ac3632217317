"""When an org's credits run out. The one place that works it out: the console and alerts ask here."""

from __future__ import annotations

import asyncio

from console_api import spending
from console_api.instances import repository as instances
from console_api.money import wire
from console_api.stores import Stores
from console_api.wallet import repository
from console_api.wallet.models import Forecast, Reading
from metering import forecast as arithmetic
from metering.windows import DAY_MS, start_of


async def forecast(stores: Stores, tenant_id: str, org_id: str) -> Forecast:
    """Return when the org's credits end. Raises `RedisError`."""
    found, _ = await with_wallet(stores, tenant_id, org_id)
    return found


async def with_wallet(stores: Stores, tenant_id: str, org_id: str) -> tuple[Forecast, Reading]:
    """Return the forecast, and the wallet that it was made of. Raises `RedisError`."""
    now_ms = stores.clock()
    wallet, records = await asyncio.gather(
        repository.reading(stores, tenant_id, org_id), instances.records_of_org(stores, org_id)
    )
    own = [item.instance_id for item in records if item.tenant_id == tenant_id]
    today = start_of("day", now_ms)
    days = [today - back * DAY_MS for back in reversed(range(arithmetic.LOOKED_AT_DAYS))]
    spent = await spending.of_instances(stores, org_id, own, "day", days)
    per_day = arithmetic.pace([sum(each) for each in zip(*spent, strict=True)], now_ms - today)
    available = wallet.credits.available
    made = Forecast.model_validate(
        {
            **wire(available=available, per_day=per_day),
            "ends_at_ms": arithmetic.ends_at(available, per_day, wallet.upcoming, now_ms),
            "instances": len(own),
            "read_at_ms": now_ms,
        }
    )
    return made, wallet
