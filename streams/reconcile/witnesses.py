"""What the stores say: read, not judged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from clickhouse_connect.driver.asyncclient import AsyncClient
from msgspec import Struct
from redis.asyncio import Redis

from kit import kafka_access
from kit.clock import Clock, now_ms
from kit.redis_client import get_bytes
from kit.settings import KafkaSettings
from metering.prices import PriceBook
from metering.totals import COUNTERS, Totals
from schemas import keys, rows, topics
from schemas.partitioning import partition_of
from streams.metering.reader import UNREADABLE
from streams.reconcile.recompute import Coordinate, Org
from streams.replay import letters

_ASKED, _FETCH_MS = 10, 500
_DAY_MS, _MARGIN_MS = 86_400_000, 3_600_000
_ORGS = """
SELECT DISTINCT tenant_id, org_id FROM ledger UNION DISTINCT SELECT DISTINCT tenant_id, org_id FROM run_events
"""
_RUNS = """
SELECT run_id, status, tokens_in, tokens_out, tool_calls, charged_micro FROM runs FINAL
WHERE tenant_id = {tenant:String} AND org_id = {org:String} AND started_at >= {since:DateTime64(3)}
"""
_ROLLED_UP = """
SELECT {table:String}, sum(part.runs), sum(part.tokens_in), sum(part.tokens_out), sum(part.tool_calls),
    sum(part.charged_micro)
FROM {table:Identifier} AS part FINAL
WHERE tenant_id = {tenant:String} AND org_id = {org:String}
"""
_LEDGER = """
SELECT entry_id, kind, amount_micro, reference_id FROM ledger FINAL
WHERE tenant_id = {tenant:String} AND org_id = {org:String}
"""
_STORED = """
SELECT _partition, uniqExact(_offset) FROM {table:Identifier}
WHERE _topic = {topic:String} AND _offset >= {first:UInt64} AND _offset < {end:UInt64}
AND _partition = {partition:UInt16} GROUP BY _partition
"""

_NEWEST = """
SELECT toUnixTimestamp64Milli(max(recorded_at)) FROM {table:Identifier}
WHERE _topic = {topic:String} AND _partition = {partition:UInt16} HAVING count() > 0
"""


_REFUSED = (
    "SELECT DISTINCT topic, partition, offset, reason FROM dead_letters WHERE topic IN {topics:Array(String)}"
)


class RunRow(Struct, frozen=True):
    """A row of `runs FINAL`."""

    run_id: str
    status: str
    tokens_in: int
    tokens_out: int
    tool_calls: int
    charged_micro: int


class Entry(Struct, frozen=True):
    """A row of `ledger FINAL`."""

    entry_id: str
    kind: str
    amount_micro: int
    reference_id: str


class Held(Struct, frozen=True):
    """What is held, by each of its sums; equal when all is well."""

    wallet: int
    by_run: int
    by_instance: int
    runs: tuple[str, ...]


class Stores:
    """Reads Redis, ClickHouse and Kafka for one reconciliation."""

    def __init__(
        self,
        redis: Redis,
        client: AsyncClient,
        kafka: KafkaSettings,
        clock: Clock = now_ms,
        *,
        raw_days: int = 0,
    ) -> None:
        """`raw_days`: how long raw events are kept, 0: always."""
        self.clock = clock
        self._raw_days = raw_days
        self._redis = redis
        self.client = client
        self._kafka = kafka

    def complete_since_ms(self) -> int:
        """Return since when a run that began has all of its raw events."""
        return self.clock() - self._raw_days * _DAY_MS + _MARGIN_MS if self._raw_days else 0

    async def orgs(self) -> list[Org]:
        """Return every organisation that has a ledger or usage."""
        return sorted(Org(str(t), str(o)) for t, o in (await self.client.query(_ORGS)).result_rows)

    async def books(self) -> dict[str, PriceBook]:
        """Return all price books."""
        found = {}
        prefix = keys.price_book("")
        async for key in self._redis.scan_iter(match=prefix + "*", count=1_000):
            if blob := await get_bytes(self._redis, key.decode()):
                book = msgspec.json.decode(blob, type=PriceBook)
                found[book.version] = book
        return found

    async def refused(self) -> tuple[frozenset[Coordinate], frozenset[Coordinate]]:
        """Return the records that became dead letters, and those among them that ClickHouse has no row of.

        From the log what is new, from the warehouse what the log has forgotten.
        """
        bound = {"topics": [topic.name for topic in topics.METERED]}
        stored = (await self.client.query(_REFUSED, parameters=bound)).result_rows
        found = {(str(topic), int(p), int(offset)): str(reason) for topic, p, offset, reason in stored}
        async for letter in letters(self._kafka):
            found[letter.topic, letter.partition, letter.offset] = letter.reason
        return frozenset(found), frozenset(at for at, reason in found.items() if reason in UNREADABLE)

    async def runs(self, org: Org, since: str) -> dict[str, RunRow]:
        bound = {"tenant": org.tenant_id, "org": org.org_id, "since": since}
        found = (await self.client.query(_RUNS, parameters=bound)).result_rows
        return {str(row[0]): RunRow(*row) for row in found}

    async def rolled_up(self, org: Org) -> dict[str, tuple[int, ...]]:
        """Return, by rollup, its runs, tokens in and out, tool calls, and charges in micro-credits."""
        found: dict[str, tuple[int, ...]] = {}
        for table in rows.ROLLUPS:
            bound = {"tenant": org.tenant_id, "org": org.org_id, "table": table.name}
            name, *sums = (await self.client.query(_ROLLED_UP, parameters=bound)).result_rows[0]
            found[str(name)] = tuple(int(value) for value in sums)
        return found

    async def ledger(self, org: Org) -> dict[str, Entry]:
        bound = {"tenant": org.tenant_id, "org": org.org_id}
        found = (await self.client.query(_LEDGER, parameters=bound)).result_rows
        return {str(row[0]): Entry(*row) for row in found}

    async def wallet(self, org: Org) -> Mapping[str, int]:
        fields = await self._redis.hgetall(keys.wallet(self._partition(org), org.org_id))
        return {_text(name): int(value) for name, value in fields.items() if name != b"schedule"}

    async def held(self, org: Org) -> Held:
        p = self._partition(org)
        holds = await self._redis.hgetall(keys.holds(p, org.org_id))
        instances = await self._redis.hvals(keys.held_by_instance(p, org.org_id))
        wallet = await self._redis.hget(keys.wallet(p, org.org_id), "held")
        return Held(
            int(wallet or 0),
            sum(map(int, holds.values())),
            sum(map(int, instances)),
            tuple(sorted(map(_text, holds))),
        )

    async def has_lease(self, org: Org, run_id: str) -> bool:
        return await self._redis.zscore(keys.leases(self._partition(org)), run_id) is not None

    async def counters(self, org: Org, instance_id: str) -> Totals:
        key = keys.counter(self._partition(org), instance_id)
        return tuple(int(value or 0) for value in await self._redis.hmget(key, list(COUNTERS)))

    async def bounds(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Return first offset and end of every partition of the topics."""
        consumer = AIOKafkaConsumer(**kafka_access.options(self._kafka), group_id=None)
        await consumer.start()
        try:
            tps = [TopicPartition(t.name, p) for t in topics.ALL for p in range(self._kafka.partitions)]
            first, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        finally:
            await consumer.stop()
        return {(tp.topic, tp.partition): (first[tp], end[tp]) for tp in tps}

    async def behind_ms(self, bounds: Mapping[tuple[str, int], tuple[int, int]]) -> int:
        """Return how long the oldest record waits that a fence has not passed, by the broker's clock."""
        fences: dict[TopicPartition, int] = {}
        for partition in range(self._kafka.partitions):
            for topic in topics.METERED:
                first, end = bounds[topic.name, partition]
                fence = int(await get_bytes(self._redis, keys.fence(partition, topic.name)) or first)
                if fence < end:
                    fences[TopicPartition(topic.name, partition)] = max(fence, first)
        if not fences:
            return 0
        consumer = AIOKafkaConsumer(**kafka_access.options(self._kafka), group_id=None)
        await consumer.start()
        try:
            oldest = await _first_timestamps(consumer, fences)
        finally:
            await consumer.stop()
        return max(now_ms() - min(oldest), 0) if oldest else 0

    async def stored(self, table: str, at: tuple[str, int], first: int, end: int) -> int:
        """Return how many records of that span of the log ClickHouse holds."""
        bound = {"table": table, "topic": at[0], "partition": at[1], "first": first, "end": end}
        found = (await self.client.query(_STORED, parameters=bound)).result_rows
        return int(found[0][1]) if found else 0

    async def newest_ms(self, table: str, at: tuple[str, int]) -> int:
        """Return when the newest record that ClickHouse holds of a log was recorded; 0 without any."""
        bound = {"table": table, "topic": at[0], "partition": at[1]}
        found = (await self.client.query(_NEWEST, parameters=bound)).result_rows
        return int(found[0][0]) if found else 0

    async def in_flight(self, bounds: Mapping[tuple[str, int], tuple[int, int]]) -> AsyncIterator[str]:
        """Yield what is still on its way: records below no fence, entries that were not relayed."""
        for partition in range(self._kafka.partitions):
            if waiting := await self._redis.xlen(keys.outbox(partition)):
                yield f"partition {partition}: {waiting} batches wait in the outbox"
            for topic in topics.METERED:
                end = bounds[topic.name, partition][1]
                fence = await get_bytes(self._redis, keys.fence(partition, topic.name))
                if fence is None or int(fence) != end:
                    said = fence.decode() if fence else "missing"
                    yield f"{topic.name}/{partition}: the fence is {said}, the log ends at {end}"

    def _partition(self, org: Org) -> int:
        return partition_of(org.org_id, self._kafka.partitions)


async def _first_timestamps(consumer: AIOKafkaConsumer, at: Mapping[TopicPartition, int]) -> list[int]:
    """Return when the records at those places were appended, as far as the broker says so soon."""
    consumer.assign(list(at))
    for place, offset in at.items():
        consumer.seek(place, offset)
    found: dict[TopicPartition, int] = {}
    for _ in range(_ASKED):
        for place, records in (await consumer.getmany(timeout_ms=_FETCH_MS)).items():
            found.setdefault(place, records[0].timestamp)
        if len(found) == len(at):
            break
    return list(found.values())


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
