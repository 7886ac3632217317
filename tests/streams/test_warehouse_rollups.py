"""Usage by minute, hour and day is what a sum over the folded runs is, however the runs came to be there."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client

from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from schemas import rows
from stack import warehouse
from streams.warehouse import migrate, rollups
from streams.warehouse.migrate import migrations

NOON = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STARTS = {"usage_minutes": "Minute", "usage_hours": "Hour", "usage_days": "Day"}
_KEY = "tenant_id, org_id, instance_id, at, model, channel, key_id, status"
_SUMS = ", ".join(f"sum(x.{name})" for name in rows.SUMMED)


@pytest.fixture
def settings(clickhouse_url: str) -> ClickHouseSettings:
    return ClickHouseSettings(url=clickhouse_url, database=f"rolled_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def client(settings: ClickHouseSettings) -> Iterator[Client]:
    migrate.bring_up_to_date(settings)
    made = clickhouse_client.connect_sync(settings)
    yield made
    made.command(f"DROP DATABASE {settings.database}")
    made.close()


@pytest_asyncio.fixture
async def worker(settings: ClickHouseSettings, client: Client) -> AsyncIterator[AsyncClient]:
    made = await clickhouse_client.connect(settings)
    yield made
    await made.close()


def run(number: int, version: int, **fields: Any) -> tuple[Any, ...]:
    """Return one version of a run as a row; figures grow with the version."""
    texts = {name: "" for name, kind in rows.RUNS.columns.items() if "String" in kind}
    given: dict[str, Any] = {
        **dict.fromkeys(rows.RUNS.columns, 0),
        **texts,
        "tenant_id": "t",
        "org_id": "o",
        "instance_id": f"i{number % 2}",
        "run_id": f"run-{number}",
        "version": version,
        "status": "completed",
        "model": "gpt-4o",
        "started_at": NOON,
        "recorded_at": NOON + timedelta(seconds=version),
        "closed_at": NOON,
        "duration_ms": 100 * version + number,
        "tokens_in": 10 * version,
        "charged_micro": 1_000 * version - number,
        **fields,
    }
    return tuple(given[name] for name in rows.RUNS.columns)


async def store(worker: AsyncClient, made: list[tuple[Any, ...]]) -> None:
    """Insert rows and compute what they touched, as the sink does."""
    await worker.insert("runs", made, column_names=list(rows.RUNS.columns))
    async for _ in rollups.refresh(worker, rollups.touched(made)):
        pass


def sums(client: Client, table: str) -> list[tuple[Any, ...]]:
    return list(
        client.query(
            f"SELECT {_KEY}, sum(x.runs), {_SUMS}, max(x.recorded_at), "
            "quantilesTDigestIfMerge(0.5, 0.95, 0.99)(durations) "
            f"FROM {table} AS x FINAL WHERE runs > 0 GROUP BY {_KEY} ORDER BY {_KEY}"
        ).result_rows
    )


def expected(client: Client, start: str) -> list[tuple[Any, ...]]:
    key = _KEY.replace(" at,", f" toStartOf{start}(started_at) AS at,")
    return list(
        client.query(
            f"SELECT {key}, count(), {_SUMS}, max(x.recorded_at), "
            "quantilesTDigestIf(0.5, 0.95, 0.99)(toFloat64(x.duration_ms), status != 'started') "
            f"FROM runs AS x FINAL GROUP BY {_KEY} ORDER BY {_KEY}"
        ).result_rows
    )


def assert_exact(client: Client) -> None:
    for table, start in STARTS.items():
        found, wanted = sums(client, table), expected(client, start)
        # A digest of digests is not the digest of all, to the last digit.
        assert [row[:-1] for row in found] == [row[:-1] for row in wanted], table
        for row, other in zip(found, wanted, strict=True):
            assert row[-1] == pytest.approx(other[-1], rel=0.02, nan_ok=True)


async def test_a_corrected_run_moves_from_one_row_to_another(worker: AsyncClient, client: Client) -> None:
    await store(worker, [run(1, 1, status="started", model=""), run(3, 2)])
    await store(worker, [run(1, 2)])

    assert_exact(client)
    left = "SELECT runs, tokens_in FROM usage_{} FINAL WHERE status = 'started'"
    for unit in ("minutes", "hours", "days"):
        assert client.query(left.format(unit)).result_rows == [(0, 0)]
    for view in ("minute", "hourly", "daily"):
        found = client.query(f"SELECT started, runs, tokens_in FROM analyst_usage_{view}")
        assert found.result_rows == [(2, 2, 40)]


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_versions_in_any_batches_comes_to_the_same(
    seed: int, worker: AsyncClient, client: Client
) -> None:
    chance = random.Random(seed)
    facts: list[tuple[Any, ...]] = []
    for number in range(60):
        # Hours and days apart, also a month: a late event touches an old partition.
        at = NOON - timedelta(minutes=chance.choice((0, 1, 59, 61, 1_439, 1_441, 45_000)))
        for version in range(1, chance.randint(2, 5)):
            model, status = chance.choice(("", "gpt-4o", "o3")), chance.choice(("started", "completed"))
            facts.append(run(number, version, started_at=at, model=model, status=status))
    chance.shuffle(facts)
    while facts:
        size = chance.randint(1, 40)
        batch, facts = facts[:size], facts[size:]
        await store(worker, batch)
        if chance.random() < 0.3:
            await store(worker, batch)

    assert_exact(client)


async def test_what_an_evicted_worker_computed_before_does_not_stand(
    worker: AsyncClient, client: Client
) -> None:
    await store(worker, [run(1, 1)])
    client.command("CREATE TABLE computed AS usage_minutes")
    client.command("INSERT INTO computed SELECT * FROM usage_minutes")
    await store(worker, [run(1, 2), run(3, 1)])

    client.command("INSERT INTO usage_minutes SELECT * FROM computed")

    assert_exact(client)


async def test_a_day_is_built_anew_from_the_runs(worker: AsyncClient, client: Client) -> None:
    yesterday = NOON - timedelta(days=1)
    await store(worker, [run(1, 1), run(2, 1, started_at=yesterday)])
    made = [run(3, 1), run(4, 2, started_at=yesterday, model="late")]
    await worker.insert("runs", made, column_names=list(rows.RUNS.columns))

    rollups.rebuild(client, yesterday.date())

    assert sum(row[8] for row in sums(client, "usage_days")) == 3
    rollups.rebuild(client, NOON.date())
    assert_exact(client)


async def test_what_was_there_before_the_rollups_is_in_them(settings: ClickHouseSettings) -> None:
    admin = clickhouse_client.connect_sync(settings, "default")
    admin.command(f"CREATE DATABASE {settings.database}")
    client = clickhouse_client.connect_sync(settings)
    migrate.apply(client, migrations()[:4])
    made = [run(n, 1, started_at=NOON - timedelta(hours=n)) for n in range(30)]
    client.insert("runs", made, column_names=list(rows.RUNS.columns))

    migrate.apply(client, migrations())

    assert_exact(client)
    assert sums(client, "usage_days")
    client.close()
    admin.command(f"DROP DATABASE {settings.database}")
    admin.close()


def test_names_from_outside_are_values() -> None:
    hostile = "'), (1, 1, 1, 1)) -- \\"
    buckets = {(hostile, "o", "i", 60)}

    for sql, parameters in rollups.statements(buckets):
        assert hostile not in sql
        assert parameters["buckets"][0][0] == hostile
    assert date(2027, 3, 14) == NOON.date()


async def test_the_command_names_a_day_that_differs_and_puts_it_right(
    worker: AsyncClient, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await store(worker, [run(1, 1)])
    await worker.insert("runs", [run(3, 1)], column_names=list(rows.RUNS.columns))
    before, day = NOON.date() - timedelta(days=1), NOON.date()

    assert warehouse.rebuild(client, before, day, dry_run=True) == 1
    assert capsys.readouterr().out == f"{day} usage_minutes, usage_hours, usage_days\n"
    assert warehouse.rebuild(client, before, day, dry_run=False) == 0
    assert warehouse.rebuild(client, before, day, dry_run=True) == 0
    assert_exact(client)


async def test_a_sink_that_adds_up_for_long_tells_of_each_step(worker: AsyncClient, client: Client) -> None:
    """Its fence stands still meanwhile, and the watchdog must not take that for a stall."""
    buckets = {("t", "o", f"i{n}", 60 * n) for n in range(2_500)}

    done = [step async for step in rollups.refresh(worker, buckets)]

    # Three of minutes; of 2,500 instances as many hours and days.
    assert len(done) == 9
