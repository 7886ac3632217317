"""A question in SQL, on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_SQL = 16_384


class Question(BaseModel):
    """One SELECT over the `analyst_…` views."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"sql": "SELECT model, sum(credits) FROM analyst_usage_daily GROUP BY model"}
        },
    )

    sql: str = Field(min_length=1, max_length=MAX_SQL)
    format: Literal["json", "csv"] = "json"


class Column(BaseModel):
    """A column of the answer, with its ClickHouse type."""

    name: str
    type: str


class Answer(BaseModel):
    """ClickHouse's `JSONCompact`: columns, then rows of values in their order."""

    model_config = ConfigDict(extra="allow")

    meta: list[Column]
    data: list[list[Any]]
    rows: int
