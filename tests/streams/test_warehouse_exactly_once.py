"""The warehouse worker with a real ClickHouse: every record once, whatever is killed and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from streams_rig import RUN_COSTS, running
from waiting import eventually, until
from warehouse_rig import Warehouse

from streams.warehouse import migrate

WAREHOUSE, METERING, RELAY = "streams.warehouse", "streams.metering", "streams.relay"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Warehouse]:
    async with running(tmp_path_factory.mktemp("warehouse")) as rig:
        started = Warehouse(rig)
        await started.up()
        await asyncio.to_thread(migrate.bring_up_to_date, started.settings)
        yield started
        await started.server.stop()


RAW = "SELECT count(), uniqExact(_topic, _partition, _offset) FROM {}"


@pytest.mark.timeout(300)
async def test_kill_9_of_the_worker_and_of_clickhouse_neither_loses_nor_doubles(house: Warehouse) -> None:
    rig, chance = house.rig, random.Random(5)
    worker = rig.start(WAREHOUSE, **house.env)
    sent = 0
    for round_number in range(4):
        sending = asyncio.create_task(rig.send_runs(f"stored-{round_number}", 800))
        await asyncio.sleep(chance.uniform(0.3, 2.0))
        if round_number % 2:
            await kill_clickhouse(house)
        else:
            worker.kill()
            worker.wait()
            worker = rig.start(WAREHOUSE, **house.env)
        await sending
        sent += 800

    await house.holds(RAW.format("run_events"), (sent * 2, sent * 2), "run events are stored once")
    await house.holds(RAW.format("token_events"), (sent * 2, sent * 2), "token events are stored once")
    await house.holds(RAW.format("tool_call_events"), (sent, sent), "tool calls are stored once")


@pytest.mark.timeout(300)
async def test_runs_and_ledger_follow_the_wallets_through_relay_and_outage(house: Warehouse) -> None:
    rig = house.rig
    before = await rig.charged()
    for module in (METERING, RELAY):
        rig.start(module, **house.env)
    await kill_clickhouse(house, back=False)
    await rig.send_runs("ledger", 500)

    async def charged() -> bool:
        return await rig.charged() >= before + 500 * RUN_COSTS

    await eventually(charged, "ClickHouse away does not keep runs from being charged")
    await house.up()

    charged_now = await rig.charged()
    runs = "SELECT toInt64(count()), toInt64(sum(charged_micro)) FROM runs FINAL WHERE status = 'completed'"
    await house.holds(
        runs, (charged_now // RUN_COSTS, charged_now), "one row per run, charges as in the wallets"
    )
    entries = "SELECT toInt64(-sum(amount_micro)) FROM ledger FINAL WHERE kind = 'usage'"
    await house.holds(entries, (charged_now,), "the ledger adds up to what was charged")


@pytest.mark.timeout(300)
async def test_a_worker_whose_clickhouse_is_away_waits_for_it_and_does_not_stop(house: Warehouse) -> None:
    rig = house.rig
    for worker in rig.workers:
        worker.kill()
        worker.wait()
    # Shorter than the pauses between so many attempts, but not than a slow machine needs for its first batch.
    patient = rig.start(WAREHOUSE, **house.env, RUNMETER_WORKER_STALL_TIMEOUT_MS="12000")
    ours = "SELECT count(), uniqExact(run_id) FROM tool_call_events WHERE run_id LIKE '{}'"
    await rig.send_runs("before", 1)
    await house.holds(ours.format("before%"), (1, 1), "the worker has begun")
    await kill_clickhouse(house, back=False)
    failed = rig.log(WAREHOUSE).count("insert failed")
    await rig.send_runs("patient", 100)
    await until(lambda: rig.log(WAREHOUSE).count("insert failed") >= failed + 8, "it repeats its insert")
    assert patient.poll() is None
    await house.up()
    await house.holds(ours.format("patient%"), (100, 100), "the worker goes on by itself")
    assert patient.poll() is None


async def kill_clickhouse(house: Warehouse, *, back: bool = True) -> None:
    import os
    import signal

    pid = house.server.info.pid
    os.kill(pid, signal.SIGKILL)
    if not back:
        await house.server.stop()
        return

    async def answers() -> bool:
        return house.server.info.pid not in (0, pid) and await house.server.wait_ready(1)

    await eventually(answers, "ClickHouse is back")
