"""Reconciliation agrees with what the workers did, and with nothing else: each kind of tampering is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from streams_rig import BOOK, RUN_COSTS, running
from waiting import eventually
from warehouse_rig import Warehouse

from kit import clickhouse_client, clock
from metering.metered import MeteredRun
from schemas import keys, topics
from schemas.events import CorrectionEvent, GrantEvent
from schemas.partitioning import partition_of
from streams.reconcile.recompute import Org
from streams.reconcile.report import Report, reconcile
from streams.reconcile.witnesses import Stores
from streams.replay import letters
from streams.warehouse import migrate

ORG, INSTANCE = "org-3", "inst-3"
_GRANTED = 1_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Warehouse]:
    async with running(tmp_path_factory.mktemp("reconcile")) as rig:
        house = Warehouse(rig)
        await house.up()
        await asyncio.to_thread(migrate.bring_up_to_date, house.settings)
        for module in ("streams.metering", "streams.warehouse", "streams.relay"):
            rig.start(module, **house.env)
        await _fill(house)
        yield house
        await house.server.stop()


async def _fill(house: Warehouse) -> None:
    """Runs, grants, a void and a correction, all stored."""
    rig = house.rig
    grant = {"tenant_id": "t", "kind": "purchase", "occurred_at_ms": 1, "amount_micro": _GRANTED}
    await rig.send(
        topics.GRANTS, [GrantEvent(grant_id=f"g-{n}", org_id=f"org-{n}", **grant) for n in range(8)]
    )
    await rig.send_runs("told", 80)
    partition = partition_of(ORG, rig.kafka.partitions)

    async def charged() -> bool:
        return await rig.charged() == 80 * RUN_COSTS

    await eventually(charged, "all is charged")
    blob = await rig.redis.get(keys.run(partition, "told-3"))
    assert blob
    whose = {
        "tenant_id": "t",
        "org_id": ORG,
        "instance_id": INSTANCE,
        "run_id": "told-3",
        "channel": "api",
        "price_version": BOOK.version,
        "started_at_ms": 1,
        "occurred_at_ms": 1,
    }
    state = msgspec.msgpack.decode(blob, type=MeteredRun).state
    whose["started_at_ms"] = state.identity.started_at_ms
    await rig.send(topics.CORRECTIONS, [CorrectionEvent(**whose, request_id="q", kind="void")])
    spent = GrantEvent(grant_id="g-5", org_id="org-5", action="void", command_id="v-5", **grant)
    await rig.send(topics.GRANTS, [spent])
    # What has no row anywhere, and what has one although it was refused.
    rerate = CorrectionEvent(**whose, request_id="nameless", kind="rerate")
    await rig.send(topics.CORRECTIONS, [rerate])
    for value in (b"{not json", b"[]"):
        await rig.producer.send_and_wait(topics.RUNS.name, value, key=ORG.encode(), partition=partition)

    async def exact() -> bool:
        report = await report_of(house)
        return report.exact and not report.in_flight and report.runs == 80

    await eventually(exact, "everything is stored and agrees")


async def report_of(house: Warehouse, **options: Any) -> Report:
    client = await clickhouse_client.connect(house.settings)
    try:
        return await reconcile(Stores(house.rig.redis, client, house.rig.kafka), **options)
    finally:
        await client.close()


async def test_everything_agrees(house: Warehouse) -> None:
    report = await report_of(house)

    assert report.differences == []
    figures = {figure.name: figure for figure in report.figures}
    charged = figures["charged"]
    assert charged.recomputed == charged.redis == charged.ledger == charged.clickhouse == 79 * RUN_COSTS
    assert figures["granted"].redis == figures["granted"].ledger == 8 * _GRANTED
    assert figures["balance"].redis == figures["balance"].ledger
    assert (report.orgs, report.records_stored) == (8, report.records)


async def test_one_organisation_or_a_period_can_be_looked_at_alone(house: Warehouse) -> None:
    assert (await report_of(house, org_id=ORG)).runs == 10
    assert (await report_of(house, since_ms=4_000_000_000_000)).runs == 0


Tamper = Callable[[Warehouse], Awaitable[Callable[[], Awaitable[Any]]]]


async def _counter(house: Warehouse) -> Callable[[], Awaitable[Any]]:
    redis, p = house.rig.redis, partition_of(ORG, house.rig.kafka.partitions)
    await redis.hincrby(keys.counter(p, INSTANCE), "tokens_out", 1)
    return lambda: redis.hincrby(keys.counter(p, INSTANCE), "tokens_out", -1)


async def _wallet(house: Warehouse) -> Callable[[], Awaitable[Any]]:
    redis, p = house.rig.redis, partition_of(ORG, house.rig.kafka.partitions)
    await redis.hincrby(keys.wallet(p, ORG), "charged", -1)
    return lambda: redis.hincrby(keys.wallet(p, ORG), "charged", 1)


async def _balance(house: Warehouse) -> Callable[[], Awaitable[Any]]:
    redis, p = house.rig.redis, partition_of(ORG, house.rig.kafka.partitions)
    await redis.hincrby(keys.wallet(p, ORG), "balance", 1)
    return lambda: redis.hincrby(keys.wallet(p, ORG), "balance", -1)


async def _hold(house: Warehouse) -> Callable[[], Awaitable[Any]]:
    redis, p = house.rig.redis, partition_of(ORG, house.rig.kafka.partitions)
    await redis.hset(keys.holds(p, ORG), "left-over", 5)
    return lambda: redis.hdel(keys.holds(p, ORG), "left-over")


def _rows(sql: str, heal: str) -> Tamper:
    async def tamper(house: Warehouse) -> Callable[[], Awaitable[Any]]:
        async def run(statement: str) -> None:
            client = clickhouse_client.connect_sync(house.settings)
            client.command(statement)
            client.close()

        await run(sql)
        return lambda: run(heal)

    return tamper


_COPY = "INSERT INTO {0} SELECT * REPLACE ({1} AS {2}, version {3} AS version) FROM {0} FINAL WHERE {4}"
_UPDATE = (
    "ALTER TABLE token_events UPDATE output = output {} 1 WHERE run_id = 'told-11' AND final "
    "SETTINGS mutations_sync = 2"
)
_charged = _rows(
    _COPY.format("runs", "charged_micro + 1", "charged_micro", "+ 1", "run_id = 'told-11'"),
    _COPY.format("runs", "charged_micro - 1", "charged_micro", "+ 1", "run_id = 'told-11'"),
)
_entry = _rows(
    _COPY.format("ledger", "amount_micro - 1", "amount_micro", "+ 1", "entry_id = 'told-11'"),
    _COPY.format("ledger", "amount_micro + 1", "amount_micro", "+ 1", "entry_id = 'told-11'"),
)
_rollup = _rows(
    _COPY.format("usage_hours", "charged_micro + 1", "charged_micro", "+ 1", "instance_id = 'inst-3'"),
    _COPY.format("usage_hours", "charged_micro - 1", "charged_micro", "+ 1", "instance_id = 'inst-3'"),
)
_event = _rows(
    _UPDATE.format("+"),
    _UPDATE.format("-"),
)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (_counter, "counter tokens_out"),
        (_wallet, "wallet charged"),
        (_balance, "balance is"),
        (_hold, "held differs"),
        (_charged, "`runs` says"),
        (_entry, "ledger entry told-11"),
        (_rollup, "usage_hours says"),
        (_event, "told-11"),
    ],
    ids=["counter", "wallet", "balance", "hold", "run", "ledger", "rollup", "raw-event"],
)
async def test_what_was_tampered_with_is_named(house: Warehouse, tamper: Tamper, said: str) -> None:
    heal = await tamper(house)
    try:
        report = await report_of(house)
        assert any(said in difference for difference in report.differences), report.differences
    finally:
        await heal()
    assert (await report_of(house)).exact


async def test_a_record_that_was_never_stored_is_missed(house: Warehouse) -> None:
    client = clickhouse_client.connect_sync(house.settings)
    client.command(
        "CREATE TABLE kept ENGINE = Memory AS SELECT * FROM tool_call_events WHERE run_id = 'told-12'"
    )
    client.command("ALTER TABLE tool_call_events DELETE WHERE run_id = 'told-12' SETTINGS mutations_sync = 2")
    try:
        report = await report_of(house)
    finally:
        client.command("INSERT INTO tool_call_events SELECT * FROM kept")
        client.command("DROP TABLE kept")
        client.close()
    assert any(
        "usage.tool_calls" in difference and "stored" in difference for difference in report.differences
    )


class _Busy(Stores):
    """The stores of an organisation that works while it is looked at."""

    house: Warehouse

    async def orgs(self) -> list[Org]:
        await self.house.rig.send_runs("meanwhile", 1)
        return await super().orgs()


async def test_a_difference_of_a_log_that_grows_is_not_the_last_word(house: Warehouse) -> None:
    client = await clickhouse_client.connect(house.settings)
    stores = _Busy(house.rig.redis, client, house.rig.kafka)
    stores.house = house
    heal = await _counter(house)
    try:
        report = await reconcile(stores)
    finally:
        await heal()
        await client.close()

    assert report.different
    assert any("came meanwhile" in said for said in report.in_flight)


async def test_what_was_refused_is_known_when_the_log_has_forgotten_it(house: Warehouse) -> None:
    client = clickhouse_client.connect_sync(house.settings)
    kafka = house.rig.kafka
    places = [TopicPartition(topics.DEAD_LETTERS.name, p) for p in range(kafka.partitions)]

    async def stored() -> bool:
        return bool(client.query("SELECT count() FROM dead_letters").result_rows[0][0] >= 3)

    await eventually(stored, "the letters are in the warehouse")
    client.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_records({place: RecordsToDelete(before_offset=-1) for place in places})
    finally:
        await admin.close()
    assert [letter async for letter in letters(kafka)] == []

    assert (await report_of(house)).differences == []


async def test_runs_whose_raw_events_have_gone_are_not_compared(house: Warehouse) -> None:
    client = await clickhouse_client.connect(house.settings)
    in_two_days = clock.now_ms() + 2 * 86_400_000
    try:
        stores = Stores(house.rig.redis, client, house.rig.kafka, lambda: in_two_days, raw_days=1)
        report = await reconcile(stores)
    finally:
        await client.close()

    assert (report.runs, report.differences) == (0, [])
