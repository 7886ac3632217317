"""Spending that stands out, and credits that end soon: from the live counters, told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest_asyncio
from alerts_rig import MICRO, Alerted, alerted
from control_places import Place
from control_world import World
from redis.asyncio import Redis

from console_api.alerts import rules
from console_api.alerts.models import RuleChange
from console_api.alerts.watch import Watch
from console_api.metrics import Metrics
from console_api.stores import Stores
from console_api.wallet import forecast
from console_api.warehouse import Warehouse
from kit.settings import ClickHouseSettings
from metering.settling import StoredWallet
from metering.wallet import Wallet
from metering.windows import DAY_MS, start_of
from schemas import keys
from schemas.directory import InstanceRecord

HOUR_MS = 3_600_000


@dataclass
class Watched:
    """An org whose counters a test writes as the metering worker would."""

    told: Alerted
    stores: Stores

    @property
    def world(self) -> World:
        return self.told.world

    async def turn(self) -> int:
        return await Watch(self.told.plane(), self.stores, self.told.settings).turn()

    async def spend(self, credits: int, hours_ago: int = 0) -> None:
        """Charge the instance so much in an hour."""
        at_ms = self.world.clock.at_ms - hours_ago * HOUR_MS
        partition = self.stores.partition(self.world.org_id)
        for window in ("hour", "day"):
            key = keys.counter(partition, self.world.instance_id, window, start_of(window, at_ms))  # type: ignore[arg-type]
            await self.stores.redis.hincrby(key, "charged", credits * MICRO)

    async def credits(self, credits: int, period_start_ms: int = 1_000) -> None:
        """Let the wallet hold so much, added then."""
        partition, org_id = self.stores.partition(self.world.org_id), self.world.org_id
        state = StoredWallet(self.world.tenant_id, Wallet(), 1, period_start_ms)
        await self.stores.redis.set(keys.wallet_state(partition, org_id), msgspec.msgpack.encode(state))
        await self.stores.redis.hset(
            keys.wallet(partition, org_id), mapping={"balance": credits * MICRO, "version": 1}
        )

    async def kinds(self) -> list[str]:
        return [alert.kind for alert in await self.told.alerts()]


@pytest_asyncio.fixture
async def watched(place: Place, world: World, redis: Redis) -> AsyncIterator[Watched]:
    record = InstanceRecord(
        instance_id=world.instance_id,
        tenant_id=world.tenant_id,
        org_id=world.org_id,
        name="Support agent",
        status="active",
        default_model="gpt-4o-mini",
        models=("gpt-4o-mini",),
    )
    await redis.set(keys.instance(world.instance_id), msgspec.json.encode(record))
    await redis.sadd(keys.org_instances(world.org_id), world.instance_id)
    warehouse = Warehouse(ClickHouseSettings(url="http://127.0.0.1:1"))
    async with alerted(place, world) as told:
        yield Watched(told, Stores(redis, warehouse, 8, world.clock, Metrics()))


async def usual_week(watched: Watched) -> None:
    """Ten credits an hour, give or take, for five weeks."""
    for hours in range(1, 5 * 7 * 24):
        await watched.spend(10 + hours % 3, hours)


async def test_an_hour_that_stands_out_is_told_once_a_day(watched: Watched) -> None:
    await usual_week(watched)
    await watched.spend(20)
    assert (await watched.turn(), await watched.kinds()) == (0, [])

    await watched.spend(100)
    assert await watched.turn() == 1
    await watched.spend(500)
    assert await watched.turn() == 0

    [alert] = await watched.told.alerts()
    assert (alert.kind, alert.subject) == ("anomaly", watched.world.instance_id)
    assert alert.details["spent_micro"] == 120 * MICRO
    assert alert.details["usual_micro"] == 11 * MICRO
    # Of these hours: twice the median is more than what the deviations allow.
    assert alert.details["bound_micro"] == 22 * MICRO
    watched.world.clock.at_ms += DAY_MS
    await watched.spend(500)
    assert await watched.turn() == 1


async def test_what_was_charged_late_in_the_hour_is_found_in_the_next(watched: Watched) -> None:
    await usual_week(watched)
    await watched.spend(100, hours_ago=1)

    assert (await watched.turn(), await watched.kinds()) == (1, ["anomaly"])


async def test_a_new_instance_and_small_amounts_are_not_unusual(watched: Watched) -> None:
    await watched.spend(1_000)
    assert await watched.turn() == 0

    await usual_week(watched)
    async with watched.world.database.writing() as session:
        wanted = RuleChange(enabled=True, channels=[], minimum_micro=2_000 * MICRO)
        await rules.change(session, watched.told.principal(), "anomaly", wanted, watched.world.clock())
    assert await watched.turn() == 0


async def test_credits_that_end_soon_are_told_once_until_some_are_added(watched: Watched) -> None:
    for hours in range(0, 7 * 24, 6):
        await watched.spend(25, hours)
    await watched.credits(2_000)
    assert await watched.turn() == 0

    await watched.credits(500)
    assert await watched.turn() == 1
    await watched.credits(400)
    assert await watched.turn() == 0
    await watched.credits(450, period_start_ms=2_000)
    assert await watched.turn() == 1

    first, second = [alert for alert in await watched.told.alerts() if alert.kind == "forecast"]
    assert (first.period, second.period) == ("1000", "2000")
    assert first.details["available_micro"] == 500 * MICRO
    days = (first.details["ends_at_ms"] - watched.world.clock.at_ms) / DAY_MS
    assert 4 < days < 6


async def test_an_empty_wallet_is_no_forecast(watched: Watched) -> None:
    await watched.spend(50)
    await watched.credits(0)

    assert await watched.turn() == 0


async def test_the_console_is_told_the_same_forecast(watched: Watched) -> None:
    await watched.spend(70)
    await watched.spend(70, hours_ago=24)
    await watched.credits(500)

    found = await forecast.forecast(watched.stores, watched.world.tenant_id, watched.world.org_id)
    assert await watched.turn() == 1
    [alert] = await watched.told.alerts()

    assert (found.ends_at_ms, found.per_day_micro) == (
        alert.details["ends_at_ms"],
        alert.details["per_day_micro"],
    )
    foreign = await forecast.forecast(watched.stores, "another_tenant", watched.world.org_id)
    assert (foreign.available_micro, foreign.per_day_micro, foreign.instances) == (0, 0, 0)
