"""Automatic top-up on the wire."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from console_api.catalogue.models import Code
from schemas.events import MAX_EXACT


class TopUpTerms(BaseModel):
    """When to buy which pack, and how much at most. Money in the currency's minor units."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "enabled": True,
                "threshold_micro": 5_000_000,
                "plan": "pack-20",
                "currency": "usd",
                "provider": "stripe",
                "ceiling_minor": 10_000,
                "cool_off_s": 3_600,
            }
        },
    )

    enabled: bool
    threshold_micro: int = Field(ge=0, le=MAX_EXACT, description="Buy when less than this is available")
    plan: Code = Field(description="A pack of credits")
    currency: str = Field(pattern="^[a-z]{3}$")
    provider: str = Field(min_length=1, max_length=32)
    ceiling_minor: int = Field(ge=0, le=10_000_000_000, description="At most, in a calendar month (UTC)")
    cool_off_s: int = Field(default=3_600, ge=60, le=30 * 86_400, description="Between two purchases")


class TopUpView(TopUpTerms):
    """How it is set, and how it goes."""

    spent_this_month_minor: int
    declines: int = Field(description="In a row")
    error: str = Field(description="Why it does not buy; empty when all is well")
    next_try_at_ms: int
    version: int = Field(description="Grows with every change of the terms; the number in the ETag")
