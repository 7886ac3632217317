"""On assignment: finish the plan that was left open, then say where to read on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from clickhouse_connect.driver.asyncclient import AsyncClient
from faust.types import TP

from kit import kafka_access
from kit.settings import KafkaSettings
from streams.warehouse.plan import InsertPlan, Range, plan_of

log = logging.getLogger(__name__)

_HIGHEST = """
SELECT toInt64(max(_offset)), count() FROM {table:Identifier}
WHERE _topic = {topic:String} AND _partition = {partition:UInt16}
"""


class PlanMismatch(Exception):
    """The log no longer holds what a plan says: inserting anything could double or lose rows."""


async def reread(plan: InsertPlan, kafka: KafkaSettings) -> list[ConsumerRecord]:
    """Return exactly the records of a plan. Raises `PlanMismatch`.

    Reads with a consumer of its own: some of the plan's partitions may be assigned to another worker, which
    repeats the same plan under the same token.
    """
    consumer = AIOKafkaConsumer(
        **kafka_access.options(kafka), group_id=None, auto_offset_reset="none", enable_auto_commit=False
    )
    await consumer.start()
    try:
        records: list[ConsumerRecord] = []
        for span in plan.ranges:
            records += await _read_range(consumer, plan.topic, span)
    finally:
        await consumer.stop()
    again = plan_of(plan.topic, records)
    if (again.records, again.crc) != (plan.records, plan.crc):
        raise PlanMismatch(f"{plan.token}: planned {plan.records} records, the log holds {again.records}")
    return records


async def _read_range(consumer: AIOKafkaConsumer, topic: str, span: Range) -> list[ConsumerRecord]:
    tp = TopicPartition(topic, span.partition)
    consumer.assign([tp])
    consumer.seek(tp, span.first)
    records: list[ConsumerRecord] = []
    while not records or records[-1].offset < span.last:
        fetched = (await consumer.getmany(tp, timeout_ms=10_000)).get(tp)
        if not fetched:
            raise PlanMismatch(f"{topic}/{span.partition}: nothing to read at {span.first}")
        records += [record for record in fetched if record.offset <= span.last]
        if fetched[-1].offset >= span.last:
            break
    return records


async def stored_positions(
    client: AsyncClient, assigned: Iterable[TP], tables: Mapping[str, str], first: Mapping[TP, int]
) -> dict[TP, int]:
    """Return where to read on by what ClickHouse holds, for partitions whose commit is missing.

    A partition with no rows starts at the first record the log still has.
    """
    found: dict[TP, int] = {}
    for tp in assigned:
        result = await client.query(
            _HIGHEST,
            parameters={"table": tables[tp.topic], "topic": tp.topic, "partition": tp.partition},
        )
        highest, rows = result.result_rows[0]
        found[tp] = int(highest) + 1 if rows else first[tp]
        if found[tp]:
            log.warning(
                "no committed offset; continuing from what ClickHouse holds",
                extra={"topic": tp.topic, "partition": tp.partition, "offset": found[tp]},
            )
    return found
