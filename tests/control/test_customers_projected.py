"""Whom a checkout made a customer, exporters know: `customer` projections say what the database says."""

from __future__ import annotations

import msgspec
from orders_rig import Shop
from redis.asyncio import Redis

from console_api.control.outbox.relay import Relay
from console_api.control.projections.service import Projector, project_all
from console_api.database.tables import Customer
from kit.projections import Writer
from kit.settings import ControlSettings
from schemas import keys
from schemas.directory import CustomerRecord


async def projected(redis: Redis, org_id: str) -> CustomerRecord | None:
    raw = await redis.get(keys.customer("stripe", org_id))
    return msgspec.json.decode(raw, type=CustomerRecord) if raw else None


async def test_a_paid_checkout_tells_who_the_customer_is_and_a_later_one_who_it_is_now(
    shop: Shop, redis: Redis
) -> None:
    world = shop.world
    projector = Projector(world.database, Writer(redis), world.clock)
    relay = Relay(world.database, "redis", projector, ControlSettings(), world.clock)
    first, second = await shop.order(key="first"), await shop.order("pack", "once", key="second")

    await shop.tell(shop.paid(first))
    await relay.drain()
    was = await projected(redis, world.org_id)
    for _ in range(2):
        await shop.tell(shop.paid(second, customer_ref="cus_2"))
    await relay.drain()

    assert was == CustomerRecord(org_id=world.org_id, provider="stripe", customer_ref="cus_1")
    assert await projected(redis, world.org_id) == msgspec.structs.replace(was, customer_ref="cus_2")
    assert [row.version for row in await shop.rows(Customer)] == [2]


async def test_customers_are_restored_with_everything_else(shop: Shop, redis: Redis) -> None:
    world = shop.world
    await shop.tell(shop.paid(await shop.order()))
    async with world.database.writing() as session:
        session.add(Customer(org_id=world.org_id, provider="dummy", customer_ref="somebody"))

    await project_all(world.database, redis, world.clock)

    found = await projected(redis, world.org_id)
    assert found is not None
    assert found.customer_ref == "cus_1"
    assert await redis.exists(keys.customer("dummy", world.org_id))
    await redis.delete(keys.customer("stripe", world.org_id))
    assert await project_all(world.database, redis, world.clock) == 1
