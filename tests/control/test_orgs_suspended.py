"""An operator stops an org: its keys open nothing until it is resumed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from control_server import SERVICE_TOKEN, Api
from control_world import World, projected
from redis.asyncio import Redis
from waiting import eventually

from console_api.control.directory import prices
from gateway.errors import InstanceInactive
from gateway.keys import KeyDirectory
from kit.clock import new_id
from metering.catalog import list_price_book
from schemas import keys
from schemas.directory import InstanceStatus

SERVICE = {"Authorization": f"Bearer {SERVICE_TOKEN}"}
WHY = {"reason": "a chargeback"}


async def set_by_operator(api: Api, verb: str) -> int:
    operator = await api.headers("operator", org_id="")
    return (await api("POST", f"/orgs/{api.world.org_id}:{verb}", WHY, headers=operator)).status


async def reaches_gateways(api: Api, instance_id: str, status: InstanceStatus) -> None:
    async def arrived() -> bool:
        return (await projected(api.redis, instance_id)).status == status

    await eventually(arrived, f"{instance_id} is {status}")


async def new_key(api: Api) -> str:
    path = f"/instances/{api.world.instance_id}/api_keys"
    return str((await api("POST", path, {"kind": "secret", "name": "backend"})).body["key"])


async def is_active(api: Api, key: str) -> bool:
    return bool((await api("POST", "/api_keys:introspect", {"key": key}, headers=SERVICE)).body["active"])


async def publish_prices(world: World, redis: Redis) -> None:
    book, now = list_price_book(datetime.now(UTC), 20), world.clock()
    async with world.database.writing() as session:
        await prices.publish_book(session, world.tenant_id, book, actor="op", at_ms=now)
        await prices.schedule_book(session, world.tenant_id, book.version, 0, actor="op", at_ms=now)

    async def there() -> bool:
        names = [keys.price_book(book.version), keys.price_schedule(world.tenant_id)]
        return await redis.exists(*names) == len(names)

    await eventually(there, "gateways know the prices")


async def test_a_suspended_orgs_keys_open_nothing_until_it_is_resumed(api: Api, redis: Redis) -> None:
    world = api.world
    key = await new_key(api)
    await publish_prices(world, redis)
    await reaches_gateways(api, world.instance_id, "active")
    assert await is_active(api, key)

    for _ in range(2):
        assert await set_by_operator(api, "suspend") == 204
    await reaches_gateways(api, world.instance_id, "suspended")
    assert not await is_active(api, key)
    gateway = KeyDirectory(redis, 8, 0, 0, world.clock)
    with pytest.raises(InstanceInactive, match="suspended"):
        await gateway.resolve(key)
    # Whatever is made of it meanwhile does not run either.
    await reaches_gateways(api, await world.add_instance("Second"), "suspended")
    shown = await api("GET", f"/orgs/{world.org_id}")
    assert shown.body["status"] == "suspended"

    assert await set_by_operator(api, "resume") == 204
    await reaches_gateways(api, world.instance_id, "active")
    assert (await gateway.resolve(key)).key.org_id == world.org_id
    assert await is_active(api, key)
    told = [(entry.action, entry.details) for entry in await world.audited(world.org_id)]
    assert told == [("org.suspend", WHY), ("org.resume", WHY)]


async def test_an_instance_that_was_suspended_itself_stays_so(api: Api) -> None:
    await api.world.set_status("suspended")
    assert await set_by_operator(api, "suspend") == 204
    other = await api.world.add_instance("Second")
    await reaches_gateways(api, other, "suspended")

    assert await set_by_operator(api, "resume") == 204

    await reaches_gateways(api, other, "active")
    await reaches_gateways(api, api.world.instance_id, "suspended")


async def test_only_an_operator_of_the_tenant_may_and_says_why(api: Api) -> None:
    path = f"/orgs/{api.world.org_id}:suspend"
    assert (await api("POST", path, WHY)).status == 403
    stranger = await api.headers("operator", org_id="", tenant_id=new_id("tenant"))
    assert (await api("POST", path, WHY, headers=stranger)).status == 404
    operator = await api.headers("operator", org_id="")
    assert (await api("POST", path, {}, headers=operator)).status == 422
    assert (await api("POST", "/orgs/org_none:suspend", WHY, headers=operator)).status == 404
    assert (await api("GET", f"/orgs/{api.world.org_id}")).body["status"] == "active"
