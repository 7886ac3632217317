"""What an insert is going to contain, written down before it: Kafka's offset commit carries it as metadata.

A plan covers one topic and ranges of some of its partitions, in one commit request, which Kafka appends as
one batch: either all of them carry the plan or none. The commit is refused to a member that was evicted, so
a zombie cannot plan; what it may still insert is an older plan, under that plan's token, which is a no-op.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
from aiokafka import ConsumerRecord
from msgspec import Struct

#: Kafka refuses longer metadata (`offset.metadata.max.bytes`).
MAX_METADATA = 4_096


class Range(Struct, frozen=True, array_like=True):
    """Records `first` to `last` (both included) of a partition."""

    partition: int
    first: int
    last: int


class InsertPlan(Struct, frozen=True, kw_only=True):
    """The exact content of one insert."""

    topic: str
    ranges: tuple[Range, ...]
    records: int
    crc: int

    @property
    def token(self) -> str:
        """ClickHouse's deduplication token: the same plan has the same, no other plan does."""
        spans = ",".join(f"{r.partition}:{r.first}-{r.last}" for r in self.ranges)
        return f"{self.topic}:{spans}"

    def encode(self) -> str:
        """Return the plan as commit metadata."""
        return "v1;" + msgspec.json.encode(self).decode()


def decode(metadata: str) -> InsertPlan | None:
    """Return the plan that commit metadata carries; `None` when it carries none."""
    if not metadata.startswith("v1;"):
        return None
    return msgspec.json.decode(metadata[3:], type=InsertPlan)


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
