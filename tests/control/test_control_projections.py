"""What Redis says is what the database says, whatever order the writes come in."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from containers import Embedded, free_ports
from control_world import World, projected, version_of
from redis.asyncio import Redis
from waiting import PATIENCE_S

from console_api.auth.models import Principal
from console_api.control.directory import prices
from console_api.control.directory import service as directory
from console_api.control.directory.models import Configuration
from console_api.control.errors import Conflict, PreconditionFailed
from console_api.control.outbox import service as outbox
from console_api.control.outbox.models import Projection
from console_api.control.outbox.relay import Relay
from console_api.control.projections import repository
from console_api.control.projections import service as projections
from console_api.control.projections.keeper import Keeper
from console_api.control.projections.records import REVOKED_KEPT_MS, tightened
from console_api.control.projections.service import Projector, project_all
from console_api.database.engine import Database
from console_api.keys import service as api_keys
from console_api.keys.models import NewKey, ShownKey
from kit import redis_client
from kit.api_keys import digest
from kit.problems import InvalidRequest
from kit.projections import Write, Writer
from kit.settings import ControlSettings, RedisSettings
from metering.catalog import list_price_book
from metering.price_schedule import PriceSchedule
from metering.prices import PriceBook
from schemas import keys
from schemas.directory import ApiKeyRecord, Branding, Limits
from stack import servers

HOUR_MS = 3_600_000


@pytest.fixture
def projector(database: Database, redis: Redis, world: World) -> Projector:
    return Projector(database, Writer(redis), world.clock)


def owner(world: World) -> Principal:
    return Principal("ada", world.tenant_id, world.org_id, "owner")


async def new_key(world: World) -> ShownKey:
    async with world.database.writing() as session:
        wanted = NewKey(kind="secret", name="backend")
        return await api_keys.create(session, owner(world), world.instance_id, wanted, world.clock())


async def revoke(world: World, key_id: str) -> None:
    async with world.database.writing() as session:
        await api_keys.revoke(session, owner(world), world.instance_id, key_id, world.clock())


async def key_record(redis: Redis, key: str) -> ApiKeyRecord | None:
    raw = await redis.get(keys.api_key(digest(key)))
    return msgspec.json.decode(raw, type=ApiKeyRecord) if raw else None


async def read(world: World) -> Write:
    """Read what would be written now."""
    async with world.database.reading() as session:
        *_, (_, write) = await repository.instance_writes(session, [world.instance_id], limit=1)
        return write


async def test_an_instance_is_projected_within_its_plan(
    world: World, projector: Projector, redis: Redis
) -> None:
    await projector.project("instance", [world.instance_id])

    found = await projected(redis, world.instance_id)
    assert (found.tenant_id, found.org_id, found.status) == (world.tenant_id, world.org_id, "active")
    assert (found.default_model, found.models) == ("gpt-4o-mini", ("gpt-4o-mini", "gpt-4o"))
    assert (found.tools, found.channels) == (("calculator",), ("api", "widget"))
    assert found.limits.requests_per_minute == 60
    assert await redis.sismember(keys.org_instances(world.org_id), world.instance_id)


async def test_a_configuration_only_narrows_the_plan(
    world: World, projector: Projector, redis: Redis
) -> None:
    wanted = Configuration(
        model="gpt-4o",
        tools=(),
        system_prompt="Be brief.",
        branding=Branding(title="Ada's shop"),
        limits=Limits(requests_per_minute=1_000, daily_cap_micro=5),
    )
    async with world.database.writing() as session:
        made = await directory.configure(
            session, world.instance_id, wanted, 1, actor="ada", at_ms=world.clock()
        )
    assert made.version == 2
    await projector.project("instance", [world.instance_id])

    found = await projected(redis, world.instance_id)
    assert (found.default_model, found.tools, found.system_prompt) == ("gpt-4o", (), "Be brief.")
    assert (found.limits.requests_per_minute, found.limits.daily_cap_micro) == (60, 5)
    assert found.branding.title == "Ada's shop"


@pytest.mark.parametrize("beyond", [{"model": "o3"}, {"tools": ("shell",)}, {"greeting": "x" * 5_000}])
async def test_a_configuration_beyond_the_plan_is_refused(world: World, beyond: dict[str, object]) -> None:
    async with world.database.writing() as session:
        with pytest.raises(InvalidRequest):
            await directory.configure(
                session,
                world.instance_id,
                Configuration(**beyond),  # type: ignore[arg-type]
                None,
                actor="ada",
                at_ms=world.clock(),
            )


async def test_a_configuration_of_another_version_is_refused(world: World) -> None:
    async with world.database.writing() as session:
        with pytest.raises(PreconditionFailed):
            await directory.configure(
                session, world.instance_id, Configuration(), 7, actor="ada", at_ms=world.clock()
            )


async def test_an_order_provisions_one_instance_and_an_end_is_final(world: World) -> None:
    again = await world.add_instance("Again", instance_id=world.instance_id)
    assert again == world.instance_id
    assert await world.set_status("suspended")
    assert not await world.set_status("suspended")
    assert await world.set_status("ended")
    with pytest.raises(Conflict):
        await world.set_status("active")
    assert [entry.action for entry in await world.audited(world.instance_id)] == [
        "instance.create",
        "instance.status",
        "instance.status",
    ]


async def test_a_changed_plan_reaches_all_its_instances(
    world: World, projector: Projector, redis: Redis
) -> None:
    other = await world.add_instance("Second")
    relay = Relay(world.database, "redis", projector, ControlSettings(), world.clock)
    await relay.turn()

    await world.put_plan(models=["claude-sonnet-4-5"], tools=[])
    await relay.turn()

    for instance_id in (world.instance_id, other):
        found = await projected(redis, instance_id)
        assert (found.default_model, found.tools) == ("claude-sonnet-4-5", ())


async def test_an_older_write_never_replaces_a_newer_one(world: World, redis: Redis) -> None:
    writes = [await read(world)]
    for status in ("suspended", "active", "suspended"):
        await world.set_status(status)
        writes.append(await read(world))
    newest, writer = writes[-1], Writer(redis)

    assert await writer.write([newest]) == 1
    assert await writer.write(writes[:-1]) == 0
    assert (await projected(redis, world.instance_id)).status == "suspended"
    for _ in range(20):
        await redis.delete(newest.key)
        random.shuffle(writes)
        await asyncio.gather(*(writer.write([write]) for write in writes))
        assert await redis.get(newest.key) == newest.value


async def test_a_late_write_does_not_bring_a_revoked_key_back(
    world: World, projector: Projector, redis: Redis
) -> None:
    key = await new_key(world)
    async with world.database.reading() as session:
        ((_, late),) = await repository.key_writes(session, world.clock(), [digest(key.key)])
    await revoke(world, key.key_id)
    await projector.project("api_key", [digest(key.key)])

    assert await Writer(redis).write([late]) == 0
    record = await key_record(redis, key.key)
    assert record is not None
    assert record.revoked
    assert 0 < await redis.pttl(keys.api_key(digest(key.key))) <= REVOKED_KEPT_MS


async def test_a_revoked_key_is_gone_after_a_while_and_stays_gone(
    world: World, projector: Projector, redis: Redis
) -> None:
    key = await new_key(world)
    await projector.project("api_key", [digest(key.key)])
    await revoke(world, key.key_id)
    await redis.delete(keys.api_key(digest(key.key)))
    world.clock.at_ms += 2 * HOUR_MS

    await project_all(world.database, redis, world.clock)

    assert await key_record(redis, key.key) is None


async def test_everything_is_rebuilt_from_the_database(
    world: World, projector: Projector, redis: Redis
) -> None:
    live, revoked = await new_key(world), await new_key(world)
    book = list_price_book(datetime.now(UTC), 20)
    async with world.database.writing() as session:
        assert await prices.publish_book(session, world.tenant_id, book, actor="op", at_ms=world.clock())
        assert not await prices.publish_book(session, world.tenant_id, book, actor="op", at_ms=world.clock())
        await prices.schedule_book(session, world.tenant_id, book.version, 0, actor="op", at_ms=world.clock())
    await project_all(world.database, redis, world.clock)
    before = await redis.get(keys.api_key(digest(revoked.key)))
    await revoke(world, revoked.key_id)
    world.clock.at_ms += 2 * HOUR_MS
    # A Redis that went back: what was is gone, and what was revoked is there.
    names = [
        keys.instance(world.instance_id),
        keys.org_instances(world.org_id),
        keys.api_key(digest(live.key)),
        keys.price_book(book.version),
        keys.price_schedule(world.tenant_id),
    ]
    await redis.delete(*names)
    await redis.set(keys.api_key(digest(revoked.key)), before)

    assert await project_all(world.database, redis, world.clock) == 5
    assert await project_all(world.database, redis, world.clock) == 0

    assert await redis.exists(*names) == len(names)
    record = await key_record(redis, revoked.key)
    assert record is not None
    assert record.revoked
    raw = await redis.get(keys.price_book(book.version))
    assert msgspec.json.decode(raw, type=PriceBook) == book
    raw = await redis.get(keys.price_schedule(world.tenant_id))
    assert msgspec.json.decode(raw, type=PriceSchedule).entries[0].version == book.version


async def test_prices_never_change_in_the_past(world: World) -> None:
    books = [list_price_book(datetime.now(UTC), percent) for percent in (10, 20)]
    now = world.clock()

    async def schedule(version: str, from_ms: int) -> PriceSchedule:
        async with world.database.writing() as session:
            return await prices.schedule_book(
                session, world.tenant_id, version, from_ms, actor="op", at_ms=now
            )

    async with world.database.writing() as session:
        for book in books:
            await prices.publish_book(session, world.tenant_id, book, actor="op", at_ms=now)
    await schedule(books[0].version, 0)
    with pytest.raises(Conflict):
        await schedule(books[1].version, now - 1)
    await schedule(books[1].version, now + 10)
    async with world.database.writing() as session:
        left = await prices.withdraw(session, world.tenant_id, now + 10, actor="op", at_ms=now)

    assert [entry.version for entry in left.entries] == [books[0].version]


async def test_what_the_demo_wrote_without_a_version_is_replaced(
    world: World, projector: Projector, redis: Redis
) -> None:
    await redis.set(keys.instance(world.instance_id), b'{"instance_id":"old"}')

    assert await projector.project("instance", [world.instance_id]) == 2  # and its connectors
    assert await version_of(redis, keys.instance(world.instance_id)) == 1


async def test_a_change_is_announced_once_and_a_rebuild_is_not(
    world: World, projector: Projector, redis: Redis
) -> None:
    key = await new_key(world)
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(keys.KEY_CHANGED_CHANNEL)
        await projector.project("instance", [world.instance_id])
        await projector.project("instance", [world.instance_id])
        await projector.project("api_key", [digest(key.key)])
        await project_all(world.database, redis, world.clock)
        heard = []
        async with asyncio.timeout(PATIENCE_S):
            while len(heard) < 2:
                if message := await pubsub.get_message(timeout=0.1):
                    heard.append(message["data"].decode())
        assert await pubsub.get_message(timeout=0.2) is None

    assert heard == [digest(key.key), digest(key.key)]


async def test_what_was_answered_is_true_already(
    world: World, projector: Projector, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No relay runs here."""
    monkeypatch.setattr(projections, "_PATIENCE_S", PATIENCE_S)
    key = await new_key(world)
    named: list[tuple[Projection, str]] = [("api_key", digest(key.key)), ("instance", world.instance_id)]
    await projector.at_once(named)
    assert await redis.exists(keys.instance(world.instance_id))
    opened = await key_record(redis, key.key)
    assert opened is not None
    assert not opened.revoked

    await revoke(world, key.key_id)
    await projector.at_once(named)

    closed = await key_record(redis, key.key)
    assert closed is not None
    assert closed.revoked


async def test_a_transaction_tells_what_it_named(world: World) -> None:
    async with world.database.writing() as session:
        wanted = NewKey(kind="secret", name="backend")
        key = await api_keys.create(session, owner(world), world.instance_id, wanted, world.clock())
        assert outbox.named(session) == [("api_key", digest(key.key))]
    async with world.database.writing() as session:
        assert outbox.named(session) == []


async def test_what_cannot_be_written_at_once_is_the_outboxs(
    world: World, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports("own").values()
    away = redis_client.connect(RedisSettings(url=f"redis://127.0.0.1:{port}/0"))
    await Projector(world.database, Writer(away), world.clock).at_once([("instance", world.instance_id)])
    await away.aclose()

    # Of a plan's change, which names all of its instances.
    monkeypatch.setattr(projections, "_MAX_AT_ONCE", 1)
    named: list[tuple[Projection, str]] = [("instance", world.instance_id), ("price_schedule", "acme")]
    await Projector(world.database, Writer(redis), world.clock).at_once(named)
    assert not await redis.exists(keys.instance(world.instance_id))


async def test_a_restarted_redis_is_filled_again(world: World, embedded: Embedded, tmp_path: Path) -> None:
    (port,) = free_ports("own").values()
    data = tmp_path / "valkey"
    client = redis_client.connect(RedisSettings(url=f"redis://127.0.0.1:{port}/0"))
    projector = Projector(world.database, Writer(client), world.clock)
    keeper = Keeper(projector, client, HOUR_MS, world.clock)
    with embedded.running(lambda: servers.valkey(data, port)):
        assert await keeper.turn()
        assert not await keeper.turn()
        await client.delete(keys.instance(world.instance_id))
        assert not await keeper.turn()
        world.clock.at_ms += HOUR_MS
        assert await keeper.turn()
        assert await client.exists(keys.instance(world.instance_id))
        await client.flushall()
        assert await keeper.turn()
        assert await client.exists(keys.instance(world.instance_id))
        marked = await client.get(keys.projected())
        await client.delete(keys.instance(world.instance_id))
        await client.save()
    await client.connection_pool.disconnect()
    with embedded.running(lambda: servers.valkey(data, port)):
        # It remembers the mark, which is not its own.
        assert await client.get(keys.projected()) == marked
        assert await keeper.turn()
        assert await client.exists(keys.instance(world.instance_id))
        assert await client.get(keys.projected()) != marked
    await client.aclose()


def test_limits_are_only_tightened() -> None:
    plan = Limits(requests_per_minute=60, monthly_cap_micro=9, soft=True, overage_micro=5, cap_output=False)
    own = Limits(requests_per_minute=0, tokens_per_minute=7, monthly_cap_micro=20, fail_open=True)

    assert tightened(plan, own) == Limits(
        requests_per_minute=60,
        tokens_per_minute=7,
        monthly_cap_micro=9,
        soft=True,
        overage_micro=5,
        cap_output=False,
    )
