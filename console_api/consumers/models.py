"""Consumers on the wire."""

from __future__ import annotations

from pydantic import BaseModel, Field


class PartitionLag(BaseModel):
    """One partition of a topic, and how far a role got in it.

    `applied_at_ms` is when the last applied record was appended, `waiting_since_ms` when the first was that
    is not. 0: there is none, or the broker did not say in time.
    """

    topic: str
    partition: int
    position: int | None = Field(description="The next offset to apply; missing where nothing is known")
    end: int = Field(description="The offset that the next record will get")
    lag: int | None
    member: str = Field(description="Who has the partition now; empty: nobody")
    applied_at_ms: int
    waiting_since_ms: int


class RoleLag(BaseModel):
    """A kind of worker. `source`: what its positions are read from."""

    role: str
    group: str
    source: str = Field(examples=["fences in Redis"])
    members: int
    unassigned: int = Field(description="Partitions that nobody has now")
    lag: int
    waiting_since_ms: int = Field(description="When the oldest record was appended that is not applied")
    partitions: list[PartitionLag]


class Consumers(BaseModel):
    """All roles, now. `history_at_ms` is when the newest row of the tenant's runs was recorded (0: none)."""

    now_ms: int
    roles: list[RoleLag]
    history_at_ms: int | None = Field(description="Missing while the history cannot be read")
