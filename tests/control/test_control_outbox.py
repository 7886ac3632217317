"""Whatever happens to relays, every recorded change goes out, in order, and none that was not recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
import pytest
import pytest_asyncio
from containers import free_ports
from control_places import Place
from control_world import World
from published import firsts, published
from redis.asyncio import Redis
from waiting import PATIENCE_S

from console_api.auth.models import Principal
from console_api.control.credits import service as credits
from console_api.control.directory import service as directory
from console_api.control.outbox import repository, service
from console_api.control.outbox.kafka_sink import KafkaSink
from console_api.control.outbox.relay import OUTAGES, Relay, Sink
from console_api.control.projections.service import Projector
from console_api.database.engine import Database
from console_api.database.tables import OutboxRow
from console_api.keys import service as api_keys
from console_api.keys.models import NewKey
from kit.api_keys import digest
from kit.clock import now_ms
from kit.projections import Writer
from kit.settings import ControlSettings, KafkaSettings
from schemas import keys, topics
from schemas.directory import ApiKeyRecord
from schemas.events import CorrectionEvent

SETTINGS = ControlSettings(relay_poll_ms=20, relay_batch=7, lease_ms=60_000)


class Killed(BaseException):
    """The process is gone, at once."""


class Dying:
    """The real sink of a process that is killed once, before or after it wrote."""

    def __init__(self, sink: Sink, when: str) -> None:
        self._sink = sink
        self._when = when

    async def deliver(self, rows: Sequence[OutboxRow]) -> Mapping[int, str]:
        when, self._when = self._when, "never"
        if when == "before":
            raise Killed
        poison = await self._sink.deliver(rows)
        if when == "after":
            raise Killed
        return poison

    async def close(self) -> None:
        await self._sink.close()


@pytest.fixture(scope="session")
def kafka_settings(kafka: str) -> KafkaSettings:
    return KafkaSettings(bootstrap=kafka)


@pytest_asyncio.fixture
async def relay(database: Database, kafka_settings: KafkaSettings, world: World) -> AsyncIterator[Relay]:
    made = Relay(database, "kafka", KafkaSink(kafka_settings), SETTINGS, world.clock)
    yield made
    await made.close()


async def drain(relay: Relay) -> int:
    total = 0
    while sent := await relay.turn():
        total += sent
    return total


async def test_a_grant_leaves_as_it_was_recorded(
    world: World, relay: Relay, kafka_settings: KafkaSettings
) -> None:
    async with world.database.writing() as session:
        event = world.grant(f"{world.org_id}/1", priority=5, expires_at_ms=world.clock() + 1_000)
        assert await credits.issue(session, event, actor="ada", at_ms=world.clock())

    assert await drain(relay) == 1
    assert await published(kafka_settings, world.org_id) == [event]
    (row,) = await world.outbox()
    assert row.sent_at_ms == world.clock()
    (entry,) = await world.audited(event.grant_id)
    assert (entry.action, entry.actor) == ("grant.issue", "ada")


async def test_what_was_rolled_back_never_leaves(
    world: World, relay: Relay, kafka_settings: KafkaSettings
) -> None:
    async def issue_and_fail() -> None:
        async with world.database.writing() as session:
            await credits.issue(session, world.grant(f"{world.org_id}/1"), actor="ada", at_ms=world.clock())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await issue_and_fail()

    assert await drain(relay) == 0
    assert await published(kafka_settings, world.org_id) == []
    assert await world.audited(f"{world.org_id}/1") == []


@pytest.mark.parametrize(("when", "times"), [("before", 1), ("after", 2)])
async def test_a_relay_killed_around_publishing(
    place: Place, world: World, kafka_settings: KafkaSettings, when: str, times: int
) -> None:
    await world.issue(f"{world.org_id}/1")
    other = place.open()
    sink = Dying(KafkaSink(kafka_settings), when)
    dying = Relay(other, "kafka", sink, SETTINGS, world.clock)
    with pytest.raises(Killed):
        await dying.turn()
    await sink.close()
    assert [row.sent_at_ms for row in await world.outbox()] == [0]
    await other.close()
    # Of a lease nobody frees, the time runs out.
    world.clock.at_ms += SETTINGS.lease_ms

    successor = Relay(world.database, "kafka", KafkaSink(kafka_settings), SETTINGS, world.clock)
    assert await drain(successor) == 1
    await successor.close()

    events = await published(kafka_settings, world.org_id)
    assert [event.grant_id for event in events] == [f"{world.org_id}/1"] * times


async def test_two_relays_at_once_publish_in_order(
    place: Place, world: World, kafka_settings: KafkaSettings
) -> None:
    databases = [place.open() for _ in range(2)]
    relays = [
        asyncio.create_task(Relay(each, "kafka", KafkaSink(kafka_settings), SETTINGS, now_ms).run())
        for each in databases
    ]
    wanted = [f"{world.org_id}/{number}" for number in range(60)]
    for grant_id in wanted:
        await world.issue(grant_id)
    await all_sent(world)
    await stop(relays, databases)

    events = await published(kafka_settings, world.org_id)
    assert [event.grant_id for event in events] == wanted


async def test_relays_killed_again_and_again_lose_nothing_and_keep_the_order(
    place: Place, world: World, kafka_settings: KafkaSettings
) -> None:
    wanted = [f"{world.org_id}/{number}" for number in range(40)]
    for grant_id in wanted:
        await world.issue(grant_id)
    for number in range(8):
        database = place.open()
        sink = Dying(KafkaSink(kafka_settings), "after" if number % 2 else "before")
        dying = Relay(database, "kafka", sink, SETTINGS, world.clock)
        world.clock.at_ms += SETTINGS.lease_ms
        with pytest.raises(Killed):
            await dying.turn()
        if number % 3 == 0:
            await dying.turn()
        await sink.close()
        await database.close()
    world.clock.at_ms += SETTINGS.lease_ms
    last = Relay(world.database, "kafka", KafkaSink(kafka_settings), SETTINGS, world.clock)
    await drain(last)
    await last.close()

    events = await published(kafka_settings, world.org_id)
    assert firsts(events) == wanted
    assert len(events) > len(wanted)


async def test_only_one_of_two_leads(place: Place, world: World, kafka_settings: KafkaSettings) -> None:
    class Slow:
        def __init__(self) -> None:
            self.entered, self.go = asyncio.Event(), asyncio.Event()
            self.rows = 0

        async def deliver(self, rows: Sequence[OutboxRow]) -> Mapping[int, str]:
            self.rows += len(rows)
            self.entered.set()
            await self.go.wait()
            return {}

        async def close(self) -> None:
            pass

    await world.issue(f"{world.org_id}/1")
    slow, other = Slow(), place.open()
    leader = Relay(world.database, "kafka", slow, SETTINGS, world.clock)
    follower = Relay(other, "kafka", slow, SETTINGS, world.clock)
    turn = asyncio.create_task(leader.turn())
    await slow.entered.wait()

    assert await follower.turn() == 0

    slow.go.set()
    assert await turn == 1
    assert slow.rows == 1
    await other.close()


async def test_a_lane_that_is_away_does_not_hold_up_the_other(
    database: Database, world: World, redis: Redis
) -> None:
    await world.issue(f"{world.org_id}/1")
    nowhere = KafkaSettings(bootstrap=f"127.0.0.1:{free_ports('nobody')['nobody']}", ack_timeout_ms=200)
    away = Relay(database, "kafka", KafkaSink(nowhere), SETTINGS, world.clock)
    with pytest.raises(OUTAGES):
        await away.turn()

    there = Relay(database, "redis", Projector(database, Writer(redis), world.clock), SETTINGS, world.clock)
    assert await drain(there) > 0

    assert await redis.exists(keys.instance(world.instance_id))
    async with database.reading() as session:
        assert await repository.lag(session, "kafka") == (1, world.clock())
        assert await repository.lag(session, "redis") == (0, 0)


async def test_a_revocation_does_not_wait_for_all_instances_of_a_plan(
    database: Database, world: World, redis: Redis
) -> None:
    relay = Relay(database, "redis", Projector(database, Writer(redis), world.clock), SETTINGS, world.clock)
    async with database.writing() as session:
        org = Principal("ada", world.tenant_id, world.org_id, "owner")
        wanted = NewKey(kind="secret", name="leaked")
        made = await api_keys.create(session, org, world.instance_id, wanted, world.clock())
    await drain(relay)
    for number in range(2 * SETTINGS.relay_batch):
        await world.add_instance(f"Agent {number}")
    async with database.writing() as session:
        assert await directory.plan_changed(session, world.plan_id, world.clock()) > SETTINGS.relay_batch
    async with database.writing() as session:
        await api_keys.revoke(session, org, world.instance_id, made.key_id, world.clock())

    assert await relay.turn() == SETTINGS.relay_batch

    record = await redis.get(keys.api_key(digest(made.key)))
    assert msgspec.json.decode(record, type=ApiKeyRecord).revoked
    assert await drain(relay) > 0
    assert await redis.scard(keys.org_instances(world.org_id)) == 2 * SETTINGS.relay_batch + 1


async def test_what_can_never_be_sent_is_parked_and_holds_nothing_up(
    database: Database, world: World, redis: Redis
) -> None:
    async with database.writing() as session:
        await service.project(session, "nonsense", "x", world.clock())  # type: ignore[arg-type]
    relay = Relay(database, "redis", Projector(database, Writer(redis), world.clock), SETTINGS, world.clock)

    await drain(relay)

    rows = await world.outbox("redis")
    parked = [(row.topic, row.error) for row in rows if row.parked_at_ms]
    assert parked == [("nonsense", "no such projection")]
    assert all(bool(row.sent_at_ms) != bool(row.parked_at_ms) for row in rows)
    async with database.reading() as session:
        assert await repository.parked(session) == 1


async def test_sent_rows_are_pruned_when_they_are_old(world: World, relay: Relay) -> None:
    await world.issue(f"{world.org_id}/1")
    await drain(relay)
    await world.issue(f"{world.org_id}/2")
    async with world.database.writing() as session:
        assert await repository.prune(session, world.clock()) == 0
        assert await repository.prune(session, world.clock() + 1) == 1

    assert [row.outbox_id for row in await world.outbox()] == [f"credits.grants:{world.org_id}/2"]


async def test_a_correction_leaves_once(world: World, relay: Relay, kafka_settings: KafkaSettings) -> None:
    event = CorrectionEvent(
        tenant_id=world.tenant_id,
        org_id=world.org_id,
        instance_id=world.instance_id,
        run_id="run_1",
        channel="api",
        price_version="v1",
        started_at_ms=world.clock(),
        occurred_at_ms=world.clock(),
        request_id=f"{world.org_id}/corr",
        kind="void",
    )
    async with world.database.writing() as session:
        sent = [
            await service.send(
                session, topics.CORRECTIONS, world.org_id, event.request_id, event, at_ms=world.clock()
            )
            for _ in range(2)
        ]

    assert sent == [True, False]
    await drain(relay)
    found = await published(kafka_settings, world.org_id, topics.CORRECTIONS, CorrectionEvent)
    assert found == [event]


async def test_the_control_plane_publishes_nothing_else(world: World) -> None:
    async with world.database.writing() as session:
        for topic in (topics.RUNS, topics.CORRECTIONS):
            with pytest.raises(ValueError, match="publishes no GrantEvent"):
                await service.send(session, topic, world.org_id, "x", world.grant("x"), at_ms=0)


async def all_sent(world: World, lane: str = "kafka") -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(row.sent_at_ms == 0 for row in await world.outbox(lane)):  # noqa: ASYNC110 - other processes'
            await asyncio.sleep(0.02)


async def stop(relays: list[asyncio.Task[None]], databases: list[Database]) -> None:
    for relay in relays:
        relay.cancel()
    await asyncio.gather(*relays, return_exceptions=True)
    for database in databases:
        await database.close()
