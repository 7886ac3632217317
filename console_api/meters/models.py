"""Meters on the wire, and what was asked of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from console_api.meters.sources import EventType
from console_api.times import Range

Aggregation = Literal["sum", "count", "avg", "min", "max", "unique", "latest", "percentile"]
Window = Literal["minute", "hour", "day", "week", "month"]
Format = Literal["json", "csv", "parquet", "arrow"]

MAX_METERS = 200
MAX_GROUP_BY = 5
MAX_TOP = 100
MAX_VALUES = 100
MAX_VALUE_LENGTH = 256

#: What groups beyond the largest are called.
OTHER = "other"

Slug = Annotated[str, Field(pattern=r"^[a-z0-9](?:_?[a-z0-9])*$", max_length=64, examples=["tokens_out"])]
#: Columns that every answer has, so that no dimension may be called like one.
RESERVED = ("window_start", "window_end", "subject", "group_by", "is_other", "value", "previous")
Dimension = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        examples=["model"],
    ),
]
Path = Annotated[str, Field(pattern=r"^\$\.[a-z_]{1,64}$", examples=["$.tokens_out"])]


class NewMeter(BaseModel):
    """A definition, in the words of OpenMeter's `MeterCreate`; `percentile` and `latest` are ours."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "slug": "slow_tools",
                "name": "Slowest tool calls",
                "event_type": "tool_call",
                "aggregation": "percentile",
                "percentile": 0.95,
                "value_path": "$.duration_ms",
                "group_by": {"tool": "$.tool"},
                "unit": "ms",
            }
        },
    )

    slug: Slug
    name: str = Field(default="", max_length=256, description="Default: the slug")
    description: str = Field(default="", max_length=1_024)
    event_type: EventType = Field(description="What is counted. A run belongs to when it *started*")
    aggregation: Aggregation
    value_path: Path | None = Field(default=None, description="What is added up; none for `count`")
    percentile: float | None = Field(
        default=None, gt=0, lt=1, description="Which one, for `percentile`; approximate, within 1 %"
    )
    group_by: dict[Dimension, Path] = Field(
        default={}, max_length=20, description="Names that questions may group and filter by, and their paths"
    )
    unit: str = Field(default="", max_length=32, description="For people: tokens, ms, micro-credits …")


class Meter(NewMeter):
    """A meter that can be asked."""

    built_in: bool = Field(description="Ours: it cannot be changed")
    created_at_ms: int = Field(default=0, description="Unix ms; 0 for what is built in")


class MeterList(BaseModel):
    """All meters of a tenant, built-in ones first."""

    meters: list[Meter]


@dataclass(frozen=True)
class MeterQuestion:
    """What was asked, parsed and within bounds. Without a `window` the range is one."""

    span: Range
    window: Window | None
    tz: ZoneInfo
    group_by: tuple[str, ...]
    filters: dict[str, tuple[str, ...]]
    top_n: int | None
    compare: bool


class Previous(BaseModel):
    """The period that `compare=previous` compares with."""

    from_: str = Field(alias="from")
    to: str


class MeterRow(BaseModel):
    """The value of one window and group. A window or group without rows is left out."""

    window_start: str = Field(examples=["2026-01-31T09:00:00.000Z"])
    window_end: str
    subject: str | None = Field(description="The org, if it was grouped by")
    group_by: dict[str, str]
    is_other: bool = Field(description="Everything beyond `top_n`, under the name `other`")
    value: int | float | None = Field(description="`null`: there was nothing to take it of")
    previous: int | float | None = Field(description="Of the same window of the previous period, if compared")


class MeterAnswer(BaseModel):
    """Values of a meter, oldest window first. The first and last window may be cut by the range."""

    meter: str
    aggregation: Aggregation
    unit: str
    from_: str = Field(alias="from")
    to: str
    window: Window | None
    timezone: str
    previous: Previous | None
    data: list[MeterRow]
