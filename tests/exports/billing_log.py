"""What `billing.records` holds, read with a consumer of the test's own."""

from __future__ import annotations

from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from kit.settings import KafkaSettings
from schemas.topics import BILLING


async def billing_log(kafka: KafkaSettings) -> list[dict[str, Any]]:
    """Return every record, as plain data, in order within its partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=None)
    await consumer.start()
    try:
        tps = [TopicPartition(BILLING.name, p) for p in range(kafka.partitions)]
        ends = await consumer.end_offsets(tps)
        found: list[dict[str, Any]] = []
        for tp in tps:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            while await consumer.position(tp) < ends[tp]:
                fetched = await consumer.getmany(tp, timeout_ms=5_000)
                found += [msgspec.json.decode(record.value) for record in fetched.get(tp, [])]
        return found
    finally:
        await consumer.stop()


def contents(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the records by id; an id with two contents is an error."""
    by_id: dict[str, dict[str, Any]] = {}
    for record in records:
        assert by_id.setdefault(record["record_id"], record) == record
    return by_id
