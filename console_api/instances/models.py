"""Instances on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from console_api.money import Credits, CreditsMicro
from console_api.totals import Totals
from schemas.directory import InstanceRecord, InstanceStatus, Suspension

#: Points of a sparkline, and their width.
SPARK_POINTS = 12
SPARK_MINUTES = 5


class SparkPoint(BaseModel):
    """Five minutes of usage; runs are counted in the window they started in."""

    model_config = ConfigDict(frozen=True)

    start_ms: int
    started: int
    tokens: int = Field(description="Tokens in and out")
    credits_micro: CreditsMicro


class InstanceSummary(BaseModel):
    """An instance as a list shows it."""

    instance_id: str
    name: str
    status: InstanceStatus
    suspended_for: list[Suspension] = Field(
        description="Why it is suspended: an operator's word, missing money, a disputed payment; "
        "it runs again when none is left"
    )
    default_model: str
    created_at_ms: int
    totals: Totals = Field(description="All time, live")
    last_hour: list[SparkPoint] = Field(description="Twelve points of five minutes, oldest first")
    credits_left: Credits = Field(description="What the org's wallet can still spend (settled less held)")
    credits_left_micro: CreditsMicro


class InstanceDetail(InstanceSummary):
    """An instance with its configuration."""

    org_id: str
    models: list[str]
    tools: list[str]
    greeting: str
    max_output_tokens: int


class InstancePage(BaseModel):
    """One page of an org's instances, by name."""

    instances: list[InstanceSummary]
    total: int = Field(description="Instances that match, on all pages")
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page")


class Ended(BaseModel):
    """What ended for good."""

    instance_id: str
    subscription_id: str | None = Field(description="The subscription that ended with it, if it had one")
    provider_told: bool = Field(
        description="Nothing more is collected; false: the provider could not be told yet and is asked again"
    )


@dataclass(frozen=True)
class InstanceCounters:
    """An instance with its live counters: what the repository reads in one go."""

    record: InstanceRecord
    totals: tuple[int, ...]
    #: The minutes of the sparkline's hour, oldest first: their starts (Unix ms) and their vectors.
    starts: Sequence[int]
    minutes: list[tuple[int, ...]]
