"""Usage over time on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from console_api.times import Range
from console_api.totals import Totals
from console_api.usage.windows import UsageWindow

GroupBy = Literal["none", "model", "channel", "status", "key_id"]

#: Groups beyond the ten that cost most are added up under this key.
OTHER = "other"
MAX_GROUPS = 10


@dataclass(frozen=True)
class UsageQuestion:
    """What was asked, parsed and within bounds."""

    span: Range
    window: UsageWindow
    group_by: GroupBy
    tz: ZoneInfo


class UsageTotals(Totals):
    """Totals with the durations of the runs that ended, in ms (approximate quantiles, within 1 %)."""

    duration_p50_ms: float = 0
    duration_p95_ms: float = 0
    duration_p99_ms: float = 0


class UsagePoint(UsageTotals):
    """One bucket. A run belongs to the bucket it *started* in."""

    start_ms: int = Field(description="Start of the bucket, Unix ms")
    start: str = Field(description="The same, ISO-8601 UTC", examples=["2026-01-31T09:00:00.000Z"])


class UsageGroup(BaseModel):
    """Totals of one group."""

    key: str = Field(description="The model, channel, status or key id; `other` beyond the ten largest")
    totals: UsageTotals


class UsageSeries(BaseModel):
    """A zero-filled series: every bucket of the range, oldest first."""

    group: str | None = Field(description="Key of the group, `null` without grouping")
    points: list[UsagePoint]


class Freshness(BaseModel):
    """How far history has come for this instance; live figures are ahead of it by some seconds."""

    recorded_at_ms: int | None = Field(description="When the newest row was recorded; `null` without rows")
    recorded_at: str | None


class Usage(BaseModel):
    """Usage of one instance in a range. The first and last bucket may be cut by the range."""

    instance_id: str
    from_ms: int
    to_ms: int
    window: UsageWindow
    group_by: GroupBy
    timezone: str
    totals: UsageTotals
    groups: list[UsageGroup]
    series: list[UsageSeries]
    freshness: Freshness
