"""Subscriptions on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["active", "past_due", "paused", "ended"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SubscriptionView(BaseModel):
    """A plan that goes on."""

    subscription_id: str
    plan: str = Field(description="The plan's code")
    provider: str
    status: Status = Field(description="`past_due`: money is missing; `paused`: the instance was suspended")
    instance_id: str | None
    every: str
    started_at_ms: int
    paid_until_ms: int
    ends_at_ms: int = Field(description="When it ends or ended; 0: it goes on")
    past_due_since_ms: int = Field(description="0: all is paid")


class SubscriptionPage(BaseModel):
    """One page of subscriptions, oldest first."""

    subscriptions: list[SubscriptionView]
    next_cursor: str | None


class Cancellation(_Strict):
    """When it is to end."""

    at_period_end: bool = True


class PortalRequest(_Strict):
    """Whose pages."""

    provider: str = Field(default="stripe", max_length=32)


class Portal(BaseModel):
    """Where invoices and payment methods are; valid for a few minutes."""

    url: str
