"""Reads what a stack shows to anyone: raw topics, Redis' wallets and fences, ClickHouse's tables.

The names of keys, topics and columns are spelled out here on purpose: a product that renamed one by accident
would rename it for itself everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from oracle import RAW_TABLES, Coordinate, Json, Letter, Outputs
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

METERED = ("usage.runs", "usage.tokens", "usage.tool_calls", "usage.corrections", "credits.grants")
LEDGER, LETTERS = "credits.ledger", "usage.dead_letters"
_READ = (*METERED, LEDGER, LETTERS)
_KEY = re.compile(r"^\{p(?P<partition>\d+)\}:(?P<kind>\w+)(?::(?P<of>.*))?$")
_FETCH_MS = 500
_ANSWER_S = 5.0
#: A connection from before Valkey was killed is found out on its first use.
_TRIES = 3
#: What `runmeter up` makes of a topic by default.
_PARTITIONS = 8

Offsets = dict[tuple[str, int], int]


class KafkaLog:
    """Every record of the topics, read once and kept."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._next: Offsets = defaultdict(int)
        self._asking: AIOKafkaConsumer | None = None
        #: Raw records by topic, partition, offset: key and value.
        self.records: dict[Coordinate, tuple[bytes | None, bytes | None]] = {}

    async def ends(self, topics: Iterable[str] = _READ) -> Offsets:
        """Return the next offset of each partition. Raises what Kafka raises while it is away."""
        consumer = await self._consumer()
        wanted = set(topics)
        try:
            tps = [tp for tp in consumer.assignment() if tp.topic in wanted]
            found = await asyncio.wait_for(consumer.end_offsets(tps), _ANSWER_S)
        except BaseException:
            await self.close()
            raise
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def read(self) -> None:
        """Read what came since the last time."""
        ends = await self.ends()
        behind = [TopicPartition(*at) for at, end in ends.items() if self._next[at] < end]
        consumer = await self._consumer()
        for tp in behind:
            consumer.seek(tp, self._next[tp.topic, tp.partition])
            consumer.resume(tp)
        while any(self._next[tp.topic, tp.partition] < ends[tp.topic, tp.partition] for tp in behind):
            for tp, records in (await consumer.getmany(*behind, timeout_ms=_FETCH_MS)).items():
                for record in records:
                    self.records[tp.topic, tp.partition, record.offset] = (record.key, record.value)
                    self._next[tp.topic, tp.partition] = record.offset + 1
        consumer.pause(*behind)

    async def _consumer(self) -> AIOKafkaConsumer:
        if self._asking is None:
            # All partitions stay assigned, paused: what is not assigned drops out of the client's metadata
            # after a while, and would then look like a topic without records.
            everything = [TopicPartition(topic, p) for topic in _READ for p in range(_PARTITIONS)]
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=4 * 1024 * 1024,
            )
            self._asking = consumer
            try:
                await asyncio.wait_for(consumer.start(), _ANSWER_S)
            except BaseException:
                await self.close()
                raise
            consumer.assign(everything)
            consumer.pause(*everything)
        return self._asking

    async def close(self) -> None:
        consumer, self._asking = self._asking, None
        if consumer is not None:
            # Its tasks that were cancelled by it may come out of it as our own cancellation.
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await consumer.stop()


class Witnesses:
    """The stores of one stack."""

    def __init__(self, kafka: str, redis_url: str, clickhouse_url: str) -> None:
        self.log = KafkaLog(kafka)
        self.redis = Redis.from_url(
            redis_url, socket_timeout=3, socket_connect_timeout=1, retry=Retry(ConstantBackoff(0.1), _TRIES)
        )
        self._clickhouse = f"{clickhouse_url}/?database=runmeter"
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20, sock_connect=2))

    async def close(self) -> None:
        await self.log.close()
        await self.redis.aclose()
        await self._http.close()

    async def ask(self, sql: str) -> list[Json]:
        """Return the rows of a query."""
        async with self._http.post(self._clickhouse, data=f"{sql} FORMAT JSONEachRow") as response:
            text = await response.text()
            if response.status != 200:
                raise OSError(text[:500])
        return [json.loads(line) for line in text.splitlines()]

    async def fences(self) -> Offsets:
        """Return how far metering applied each partition."""
        names = [name async for name in self.redis.scan_iter("{p*}:fence:*", count=1_000)]
        values = await self.redis.mget(names) if names else []
        found: Offsets = {}
        for name, value in zip(names, values, strict=True):
            if (match := _KEY.match(name.decode())) is not None:
                found[match["of"], int(match["partition"])] = int(value or 0)
        return found

    async def stored_ends(self) -> Offsets:
        """Return the highest offset of each raw partition that ClickHouse holds, plus one."""
        parts = [f"SELECT _topic, _partition, _offset FROM {table}" for table in RAW_TABLES.values()]
        sql = (
            f"SELECT _topic, _partition, max(_offset) AS top FROM ({' UNION ALL '.join(parts)}) GROUP BY 1, 2"
        )
        return {(r["_topic"], int(r["_partition"])): int(r["top"]) + 1 for r in await self.ask(sql)}

    async def collect(self, planted: set[Coordinate]) -> Outputs:
        """Return all outputs, without the told answers."""
        await self.log.read()
        outputs = Outputs(planted=planted)
        for at, (_, value) in self.log.records.items():
            if at[0] in METERED and at not in planted:
                outputs.log[at] = json.loads(value or b"{}")
            elif at[0] == LETTERS:
                letter = json.loads(value or b"{}")
                record = (letter["topic"], letter["partition"], letter["offset"])
                outputs.letters.append(Letter(record, letter["worker"], letter["reason"]))
        await self._redis_says(outputs)
        await self._clickhouse_says(outputs)
        return outputs

    async def _redis_says(self, outputs: Outputs) -> None:
        for version in {e["price_version"] for e in outputs.log.values() if "price_version" in e}:
            outputs.books[version] = json.loads(await self.redis.get(f"price_book:{version}") or b"{}")
        left: Counter[str] = Counter()
        async for raw in self.redis.scan_iter("{p*}:*", count=2_000):
            name = raw.decode()
            match = _KEY.match(name)
            if match is None:
                continue
            kind, of = match["kind"], match["of"] or ""
            if kind == "wallet":
                outputs.wallets[of] = await self._hash(name)
            elif kind == "counter" and of.endswith(":total"):
                outputs.counters[of.removesuffix(":total")] = await self._hash(name)
            elif kind == "holds":
                left[f"holds of {of}"] = await self.redis.hlen(name)
            elif kind == "held_by_instance":
                for instance, held in (await self._hash(name)).items():
                    left[f"held by instance {instance}"] = held
            elif kind == "running":
                left[f"running of {of}"] = await self.redis.scard(name)
            elif kind == "leases":
                left["leases"] += await self.redis.zcard(name)
            elif kind == "outbox":
                left["outbox entries"] += await self.redis.xlen(name)
        outputs.leftovers = dict(left)

    async def _hash(self, name: str) -> dict[str, int]:
        stored: dict[bytes, bytes] = await self.redis.hgetall(name)
        return {k.decode(): int(v) for k, v in stored.items() if re.fullmatch(rb"-?\d+", v)}

    async def _clickhouse_says(self, outputs: Outputs) -> None:
        columns = "run_id, status, tokens_in, tokens_out, tool_calls, charged_micro"
        outputs.runs = await self.ask(f"SELECT {columns} FROM runs FINAL")
        outputs.ledger = await self.ask("SELECT org_id, kind, reference_id, amount_micro FROM ledger FINAL")
        for table in RAW_TABLES.values():
            sql = f"SELECT _topic, _partition, _offset, count() AS times FROM {table} GROUP BY 1, 2, 3"
            outputs.stored[table] = Counter(
                {
                    (r["_topic"], int(r["_partition"]), int(r["_offset"])): int(r["times"])
                    for r in await self.ask(sql)
                }
            )

    async def unquiet(self) -> list[str]:
        """Return what is still under way: nothing when every event has reached Redis and the raw tables."""
        ends, fences, stored = await self.log.ends(), await self.fences(), await self.stored_ends()
        said: list[str] = []
        for (topic, partition), end in ends.items():
            if topic in METERED and end and fences.get((topic, partition), 0) < end:
                said.append(f"{topic}/{partition}: fence {fences.get((topic, partition))} of {end}")
        refused = await self._refused(ends)
        for (topic, partition), end in ends.items():
            if (
                topic in RAW_TABLES
                and max(stored.get((topic, partition), 0), refused[topic, partition]) < end
            ):
                said.append(f"{topic}/{partition}: stored {stored.get((topic, partition), 0)} of {end}")
        async for raw in self.redis.scan_iter("{p*}:leases"):
            if count := await self.redis.zcard(raw):
                said.append(f"{count} leases")
        async for raw in self.redis.scan_iter("{p*}:outbox"):
            if count := await self.redis.xlen(raw):
                said.append(f"{count} outbox entries")
        return said

    async def _refused(self, ends: Offsets) -> Counter[Any]:
        """Return where the last dead letter of each partition stands, plus one: its record has no raw row."""
        found: Counter[Any] = Counter()
        if any(end for (topic, _), end in ends.items() if topic == LETTERS):
            await self.log.read()
            for at, (_, value) in self.log.records.items():
                if at[0] == LETTERS:
                    letter = json.loads(value or b"{}")
                    key = (letter["topic"], letter["partition"])
                    found[key] = max(found[key], letter["offset"] + 1)
        return found
