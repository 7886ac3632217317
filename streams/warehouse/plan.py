"""What an insert is going to contain, written down before it: Kafka's offset commit carries it as metadata.

A plan covers one topic and ranges of some of its partitions, in one commit request, which Kafka appends as
one batch: either all of them carry the plan or none. The commit is refused to a member that was evicted, so
a zombie cannot plan; what it may still insert is an older plan, under that plan's token, which is a no-op.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from aiokafka import ConsumerRecord

from schemas.insert_plan import InsertPlan, Range, decode

#: Kafka refuses longer metadata (`offset.metadata.max.bytes`).
MAX_METADATA = 4_096


__all__ = ["MAX_METADATA", "InsertPlan", "Range", "decode", "plan_of"]


def plan_of(topic: str, records: Sequence[ConsumerRecord]) -> InsertPlan:
    """Return the plan to insert `records`, which are grouped by partition and in order of offset."""
    spans: dict[int, tuple[int, int]] = {}
    crc = 0
    for record in records:
        first, _ = spans.get(record.partition, (record.offset, 0))
        spans[record.partition] = (first, record.offset)
        crc = zlib.crc32(record.value or b"", crc)
    ranges = tuple(Range(partition, *span) for partition, span in spans.items())
    return InsertPlan(topic=topic, ranges=ranges, records=len(records), crc=crc)
