"""What a million runs cost on their way from Kafka into Redis, the ledger and ClickHouse: time and bytes.

And how fast the warehouse worker stores rows, beside inserts of the same rows by clickhouse-connect alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from bench_events import publish_backlog
from bench_load import cpu_of
from bench_rig import Rig, process, servers_for, time_until_applied

from kit import clickhouse_client, redis_client
from kit.settings import ClickHouseSettings
from schemas import keys
from schemas.topics import STORED
from stack import ports, servers
from stack.process import Child
from streams.warehouse import migrate
from streams.warehouse.rows import rows_of

_RUNS = 30_000
_BATCH = 50_000
_PATIENCE_S = 300
_TABLES = ("run_events", "token_events", "tool_call_events", "ledger", "runs")


async def measure(folder: Path) -> dict[str, Any]:
    """Return processor seconds and bytes by part for a million runs, and rows per second of the sink."""
    async with servers_for(folder) as rig, _clickhouse(folder) as (clickhouse, clickhouse_pid):
        await asyncio.to_thread(migrate.bring_up_to_date, clickhouse)
        pids = {**rig.pids, "clickhouse": clickhouse_pid}
        before = {name: cpu_of([pid]) for name, pid in pids.items()}
        memory, events = await _memory(rig), await publish_backlog(rig.kafka.bootstrap, 8, _RUNS, "cost")
        used: dict[str, float] = {}
        with _worker(rig, "metering") as worker:
            _, used["metering"] = await time_until_applied(rig, events, worker.pid)
        with _worker(rig, "relay") as worker:
            await _until(lambda: _outbox(rig), 0, "the relay has published the outbox")
            used["relay"] = cpu_of([worker.pid])
        held = await _memory(rig) - memory
        records = await _read(rig)
        with _worker(rig, "warehouse", RUNMETER_CLICKHOUSE_URL=clickhouse.url) as worker:
            stored_s = await _stored(clickhouse, sum(map(len, records.values())), worker.pid, used)
        used |= {name: cpu_of([pid]) - before[name] for name, pid in pids.items()}
        bare_s, rows = await asyncio.to_thread(_bare, clickhouse, records)
        kafka_bytes = await asyncio.to_thread(_bytes_under, folder / "kafka")
        clickhouse_bytes = await asyncio.to_thread(_bytes_of, clickhouse)
    per_million = 1_000_000 / _RUNS
    return {
        "runs": _RUNS,
        "events": events,
        "cpu_s_per_million": {name: taken * per_million for name, taken in used.items()},
        "bytes_per_million": {
            "Kafka (all topics, one replica)": kafka_bytes * per_million,
            "Redis (tracked runs, counters, wallets)": held * per_million,
            **{f"ClickHouse, {name}": size * per_million for name, size in clickhouse_bytes.items()},
        },
        "sink": {"rows": rows, "ours_per_s": rows / stored_s, "bare_per_s": rows / bare_s},
    }


@contextlib.asynccontextmanager
async def _clickhouse(folder: Path) -> AsyncIterator[tuple[ClickHouseSettings, int]]:
    port = ports.choose({"clickhouse": 0}, {})["clickhouse"]
    child = Child(servers.clickhouse(folder / "clickhouse", port), folder / "logs", lambda: None)
    child.start()
    try:
        if not await child.wait_ready(60):
            raise RuntimeError("ClickHouse did not start")
        yield ClickHouseSettings(url=f"http://127.0.0.1:{port}"), child.info.pid
    finally:
        await child.stop()


def _worker(rig: Rig, name: str, **env: str) -> Any:
    return process(["-m", f"streams.{name}"], rig.environment(**env), rig.folder / f"{name}.log")


async def _until(ask: Any, wanted: int, what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while await ask() != wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_PATIENCE_S} s: {what}")
        await asyncio.sleep(0.05)


async def _outbox(rig: Rig) -> int:
    redis = redis_client.connect(rig.redis)
    try:
        return sum([await redis.xlen(keys.outbox(p)) for p in range(rig.kafka.partitions)])
    finally:
        await redis.aclose()


async def _memory(rig: Rig) -> int:
    redis = redis_client.connect(rig.redis)
    try:
        return int((await redis.info("memory"))["used_memory"])
    finally:
        await redis.aclose()


async def _read(rig: Rig) -> dict[str, list[ConsumerRecord]]:
    """Return every record that the warehouse is to store, by topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=rig.kafka.bootstrap, group_id=None)
    await consumer.start()
    try:
        tps = [TopicPartition(t.name, p) for t in STORED for p in range(rig.kafka.partitions)]
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        left = {tp: end for tp, end in (await consumer.end_offsets(tps)).items() if end}
        found: dict[str, list[ConsumerRecord]] = {}
        while left:
            for tp, records in (await consumer.getmany(timeout_ms=1_000)).items():
                found.setdefault(tp.topic, []).extend(records)
                if records[-1].offset + 1 >= left.get(tp, 0):
                    left.pop(tp, None)
        return found
    finally:
        await consumer.stop()


async def _stored(clickhouse: ClickHouseSettings, wanted: int, pid: int, used: dict[str, float]) -> float:
    """Return the seconds from the first stored record to the last, and note the worker's processor time."""
    client = await clickhouse_client.connect(clickhouse)
    sql = "SELECT " + " + ".join(f"(SELECT count() FROM {table})" for table in _TABLES[:4])
    began, deadline = 0.0, time.monotonic() + _PATIENCE_S
    try:
        while (now := int((await client.query(sql)).result_rows[0][0])) < wanted:
            if now and not began:
                began = time.perf_counter()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{now} of {wanted} records were stored within {_PATIENCE_S} s")
            await asyncio.sleep(0.05)
        used["warehouse"] = cpu_of([pid])
        return time.perf_counter() - began
    finally:
        await client.close()


def _bare(clickhouse: ClickHouseSettings, records: dict[str, list[ConsumerRecord]]) -> tuple[float, int]:
    """Insert the same rows into tables of the same shape; return the seconds of the inserts, and the rows."""
    client = clickhouse_client.connect_sync(clickhouse)
    for table in _TABLES:
        client.command(f"CREATE TABLE bare_{table} AS {table}")
    taken, count = 0.0, 0
    for of_topic in records.values():
        for table, made in rows_of(of_topic, 8)[0]:
            types = list(table.columns.values())
            for at in range(0, len(made), _BATCH):
                batch, began = made[at : at + _BATCH], time.perf_counter()
                client.insert(f"bare_{table.name}", batch, list(table.columns), column_type_names=types)
                taken += time.perf_counter() - began
                count += len(batch)
    client.close()
    return taken, count


def _bytes_under(folder: Path) -> int:
    """Return how many bytes of records are in the segments of the product's topics."""
    topics = {topic.name for topic in STORED}
    return sum(
        path.stat().st_size for path in folder.rglob("*.log") if path.parent.name.rpartition("-")[0] in topics
    )


def _bytes_of(clickhouse: ClickHouseSettings) -> dict[str, int]:
    client = clickhouse_client.connect_sync(clickhouse)
    for table in _TABLES:
        client.command(f"OPTIMIZE TABLE {table} FINAL")
    found = client.query(
        "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() "
        "AND rows > 0 AND NOT startsWith(table, 'bare_') AND table != 'schema_migrations' GROUP BY table"
    ).result_rows
    client.close()
    return {str(table): int(size) for table, size in sorted(found)}
