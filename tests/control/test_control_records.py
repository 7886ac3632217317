"""What the control plane projected stands on Kafka, too, and Redis is filled from there without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
import pytest_asyncio
from containers import free_ports, redis_at
from control_places import Place
from control_world import World, projected, version_of
from redis.asyncio import Redis

from console_api.auth.models import Principal
from console_api.control.directory import prices
from console_api.control.directory import service as directory
from console_api.control.outbox import repository as outbox
from console_api.control.outbox.models import PROJECTED, Lane
from console_api.control.outbox.relay import OUTAGES, Relay
from console_api.control.projections import repository
from console_api.control.projections.record_log import RecordLog, value_of
from console_api.control.projections.records import REVOKED_KEPT_MS
from console_api.control.projections.republisher import Republisher
from console_api.control.projections.service import Projector
from console_api.control.vault import service as vault
from console_api.control.vault.seal import Seal
from console_api.database.tables import Connector
from console_api.keys import service as api_keys
from console_api.keys.models import NewKey, ShownKey
from gateway.keys import KeyDirectory
from kit import projections, redis_client
from kit.api_keys import digest
from kit.projections import Write, Writer
from kit.settings import ControlSettings, KafkaSettings, RedisSettings
from metering.catalog import list_price_book
from schemas import keys
from schemas.control import ControlRecord
from schemas.topics import CONTROL_RECORDS, DAY_MS
from stack import records as stack_records
from streams import records

SECRET = "xoxb-very-secret"


@pytest.fixture(scope="session")
def kafka_settings(kafka: str) -> KafkaSettings:
    return KafkaSettings(bootstrap=kafka)


@pytest.fixture(scope="session")
def redis_url(redis_url: str) -> str:
    """A database of its own: what else runs here keeps what it projected, and marks that as whole."""
    return f"{redis_url.rpartition('/')[0]}/1"


@pytest_asyncio.fixture(scope="session")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_at(redis_url))
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def relays(
    world: World, kafka_settings: KafkaSettings, redis: Redis
) -> AsyncIterator[tuple[Relay, Relay]]:
    """To Redis, and to Kafka."""
    to_redis = Projector(world.database, Writer(redis), world.clock)
    to_kafka = Projector(world.database, RecordLog(kafka_settings), world.clock)
    made = (
        Relay(world.database, "redis", to_redis, ControlSettings(), world.clock),
        Relay(world.database, "records", to_kafka, ControlSettings(), world.clock),
    )
    yield made
    for relay in made:
        await relay.close()


async def relay_all(relays: Sequence[Relay]) -> None:
    for relay in relays:
        await relay.drain()


async def new_key(world: World) -> ShownKey:
    async with world.database.writing() as session:
        owner = Principal("ada", world.tenant_id, world.org_id, "owner")
        wanted = NewKey(kind="secret", name="backend")
        return await api_keys.create(session, owner, world.instance_id, wanted, world.clock())


async def revoke(world: World, key: ShownKey) -> None:
    async with world.database.writing() as session:
        owner = Principal("ada", world.tenant_id, world.org_id, "owner")
        await api_keys.revoke(session, owner, world.instance_id, key.key_id, world.clock())


async def publish_prices(world: World) -> str:
    book = list_price_book(datetime.now(UTC), 20)
    async with world.database.writing() as session:
        await prices.publish_book(session, world.tenant_id, book, actor="op", at_ms=world.clock())
        await prices.schedule_book(session, world.tenant_id, book.version, 0, actor="op", at_ms=world.clock())
    return book.version


async def connect(world: World) -> None:
    """Give the instance a connector whose credentials are `SECRET`."""
    async with world.database.writing() as session:
        row = await directory.repository.instance(session, world.instance_id, lock=True)
        assert row is not None
        who = {"tenant_id": world.tenant_id, "org_id": world.org_id}
        seal = Seal(("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",))
        secret_id = await vault.keep(
            session, seal, world.tenant_id, "slack", SECRET, org_id=world.org_id, actor="a", at_ms=1
        )
        made: dict[str, object] = {"kind": "slack", "name": "Slack", "settings": {}, "tools": ()}
        session.add(
            Connector(
                connector_id=f"conn_{world.instance_id}",
                instance_id=world.instance_id,
                secret_id=secret_id,
                created_by="ada",
                created_at_ms=1,
                updated_at_ms=1,
                **who,
                **made,
            )
        )
        await session.flush()
        await directory.changed(session, row, world.clock())


async def write_of(world: World) -> Write:
    """Return what would be written of the instance now."""
    async with world.database.reading() as session:
        *_, (_, write) = await repository.instance_writes(session, [world.instance_id], limit=1)
        return write


async def test_a_gateway_goes_on_with_an_empty_redis_while_the_control_plane_is_down(
    world: World, relays: tuple[Relay, Relay], kafka_settings: KafkaSettings, redis: Redis
) -> None:
    key, version = await new_key(world), await publish_prices(world)
    await connect(world)
    await relay_all(relays)
    names = [
        keys.api_key(digest(key.key)),
        keys.instance(world.instance_id),
        keys.connectors(world.instance_id),
        keys.price_book(version),
        keys.price_schedule(world.tenant_id),
    ]
    before = [await redis.get(name) for name in names]
    await world.database.close()
    await redis.flushdb()

    assert await records.restore(kafka_settings, redis) >= len(names)

    assert [await redis.get(name) for name in names] == before
    assert None not in before
    assert await redis.sismember(keys.org_instances(world.org_id), world.instance_id)
    gateway = KeyDirectory(redis, kafka_settings.partitions, 1_000, 1_000, world.clock)
    assert (await gateway.resolve(key.key)).instance.instance_id == world.instance_id
    # A metering partition has the book of its events, and still waits for what Redis may have lost.
    assert await projections.get(redis, keys.price_book(version))
    with pytest.raises(projections.NotProjectedYet):
        await projections.get(redis, keys.price_book("another"))
    assert await records.restore(kafka_settings, redis) == 0


async def test_a_credential_stays_sealed(world: World) -> None:
    await connect(world)
    async with world.database.reading() as session:
        ((_, write), _) = await repository.instance_writes(session, [world.instance_id], limit=1)

    value = value_of(write)

    assert write.key == keys.connectors(world.instance_id)
    assert value is not None
    assert b"sealed" in value
    assert SECRET.encode() not in value
    assert bytes(msgspec.json.decode(value, type=ControlRecord).value) == write.value


async def test_what_is_older_on_kafka_replaces_nothing_in_redis(
    world: World, relays: tuple[Relay, Relay], kafka_settings: KafkaSettings, redis: Redis
) -> None:
    to_redis, to_kafka = relays
    await to_kafka.drain()
    await world.set_status("suspended")
    await to_redis.drain()

    await records.restore(kafka_settings, redis)

    assert (await projected(redis, world.instance_id)).status == "suspended"
    assert await version_of(redis, keys.instance(world.instance_id)) == 2


async def test_an_older_record_behind_a_newer_one_does_not_hold(
    world: World, kafka_settings: KafkaSettings, redis: Redis
) -> None:
    older = await write_of(world)
    await world.set_status("suspended")
    log = RecordLog(kafka_settings)
    # As of a relay that was taken for dead.
    for write in (await write_of(world), older):
        await log.write([write])
    await log.close()

    await records.restore(kafka_settings, redis)

    assert (await projected(redis, world.instance_id)).status == "suspended"


async def test_a_revoked_key_comes_back_as_revoked_and_then_not_at_all(
    world: World, relays: tuple[Relay, Relay], kafka_settings: KafkaSettings, redis: Redis
) -> None:
    key = await new_key(world)
    await relay_all(relays)
    await revoke(world, key)
    await relay_all(relays)
    name = keys.api_key(digest(key.key))

    await redis.delete(name)
    await records.restore(kafka_settings, redis)
    assert b'"revoked":true' in await redis.get(name)
    assert 0 < await redis.pttl(name) <= REVOKED_KEPT_MS

    await redis.delete(name)
    world.clock.at_ms += DAY_MS
    assert await Republisher(world.database, world.clock).turn()
    await relay_all(relays)
    await records.restore(kafka_settings, redis)
    assert await redis.get(name) is None


async def test_everything_is_published_again_once_a_day_whoever_asks(
    place: Place, world: World, relays: tuple[Relay, Relay], kafka_settings: KafkaSettings, redis: Redis
) -> None:
    key, version = await new_key(world), await publish_prices(world)
    other = place.open()
    askers = [Republisher(each, world.clock) for each in (world.database, other)]
    async with world.database.writing() as session:
        # The topic was made when all this was there.
        await outbox.mark_sent(session, [row.seq for row in await world.outbox("records")], world.clock())
    assert sorted(await asyncio.gather(*(asker.turn() for asker in askers))) == [False, True]
    world.clock.at_ms += DAY_MS - 1
    assert not await askers[1].turn()
    world.clock.at_ms += 1
    assert await askers[1].turn()
    await relay_all(relays)
    names = [
        keys.api_key(digest(key.key)),
        keys.instance(world.instance_id),
        keys.price_book(version),
        keys.price_schedule(world.tenant_id),
    ]
    await redis.delete(*names)

    await records.restore(kafka_settings, redis)

    assert await redis.exists(*names) == len(names)
    await other.close()


@pytest.mark.parametrize("away", PROJECTED)
async def test_neither_lane_holds_up_the_other(
    world: World, relays: tuple[Relay, Relay], redis: Redis, kafka_settings: KafkaSettings, away: Lane
) -> None:
    (port,) = free_ports("nobody").values()
    nobody = redis_client.connect(RedisSettings(url=f"redis://127.0.0.1:{port}/0", timeout_ms=200))
    nowhere = RecordLog(KafkaSettings(bootstrap=f"127.0.0.1:{port}", ack_timeout_ms=200))
    to_redis, to_kafka = relays
    projector = Projector(world.database, Writer(nobody) if away == "redis" else nowhere, world.clock)
    broken = Relay(world.database, away, projector, ControlSettings(), world.clock)
    with pytest.raises(OUTAGES):
        await broken.turn()

    await (to_kafka if away == "redis" else to_redis).drain()

    if away == "redis":
        await records.restore(kafka_settings, redis)
    assert await redis.exists(keys.instance(world.instance_id))
    assert all(row.sent_at_ms == 0 for row in await world.outbox(away))
    await broken.close()
    await nobody.aclose()


async def test_what_is_too_large_for_kafka_is_refused_before_it_blocks_the_rest(
    world: World, kafka_settings: KafkaSettings, redis: Redis
) -> None:
    log = RecordLog(kafka_settings)
    large = Write("instance:large", 1, b'"%s"' % (b"x" * CONTROL_RECORDS.max_message_bytes))
    fits = Write(
        f"price_book:{world.org_id}", 0, b'"%s"' % (b"x" * (CONTROL_RECORDS.max_message_bytes - 2_048))
    )

    with pytest.raises(ValueError, match="too large"):
        await log.write([large])
    assert await log.write([fits]) == 1
    await log.close()

    await records.restore(kafka_settings, redis)
    assert await redis.get(fits.key) == fits.value
    # Others read the topic, too.
    log = RecordLog(kafka_settings)
    await log.write([Write(fits.key, 0, b"", only_if_there=True)])
    await log.close()


async def test_the_command_asks_the_stores_of_the_environment(
    world: World,
    relays: tuple[Relay, Relay],
    kafka_settings: KafkaSettings,
    redis_url: str,
    redis: Redis,
) -> None:
    await relay_all(relays)
    await redis.delete(keys.instance(world.instance_id))

    assert await stack_records.restore(kafka_settings, redis_at(redis_url)) >= 1

    assert (await projected(redis, world.instance_id)).org_id == world.org_id
