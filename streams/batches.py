"""What one fetch brought of one partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord


@dataclass(slots=True)
class PartitionBatch:
    """Consecutive records of one partition.

    `position` is where the reader stood before it read them: the batch holds everything from `position` to
    `next_offset - 1`, even where offsets are missing inside (compaction, transaction markers). A consumer
    that expects an offset below `position` has therefore missed records, and must go back for them.
    """

    topic: str
    partition: int
    position: int
    records: Sequence[ConsumerRecord]

    @property
    def next_offset(self) -> int:
        """The first offset after this batch."""
        return int(self.records[-1].offset) + 1
