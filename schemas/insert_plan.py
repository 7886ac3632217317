"""What an insert of the warehouse worker is going to contain: the metadata of its offset commits.

A committed offset alone says less: the plan at it was begun, and is closed by the commit of the next one.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct


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
