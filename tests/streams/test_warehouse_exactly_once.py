"""The warehouse worker with a real ClickHouse: every record once, whatever is killed and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from streams_rig import RUN_COSTS, Rig, eventually, running

from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from stack import ports, servers
from stack.process import Child
from streams.warehouse import migrate

WAREHOUSE, METERING, RELAY = "streams.warehouse", "streams.metering", "streams.relay"


class Warehouse:
    """A ClickHouse of the test's own, and a rig."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.port = ports.choose({"clickhouse": 0}, {})["clickhouse"]
        self.settings = ClickHouseSettings(url=f"http://127.0.0.1:{self.port}")
        self.server = self._child()

    def _child(self) -> Child:
        spec = servers.clickhouse(self.rig.folder / "clickhouse", self.port)
        return Child(spec, self.rig.folder / "logs", lambda: None)

    async def up(self) -> None:
        self.server = self._child()
        self.server.start()
        assert await self.server.wait_ready(60)

    @property
    def env(self) -> dict[str, str]:
        return {"RUNMETER_CLICKHOUSE_URL": self.settings.url}

    def ask(self, sql: str) -> tuple[int, ...] | None:
        """Return a query's first row; `None` while the server is away."""
        client: Client | None = None
        try:
            client = clickhouse_client.connect_sync(self.settings)
            return tuple(client.query(sql).result_rows[0])
        except (ClickHouseError, OSError):
            return None
        finally:
            if client is not None:
                client.close()

    async def holds(self, sql: str, expected: tuple[int, ...], what: str, seconds: float = 90) -> None:
        last: list[object] = []

        async def same() -> bool:
            last[:] = [await asyncio.to_thread(self.ask, sql)]
            return last[0] == expected

        try:
            await eventually(same, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; last: {last}, expected {expected}") from None


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
