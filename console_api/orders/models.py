"""Orders on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from console_api.catalogue.models import Code
from console_api.catalogue.terms import Every

OrderStatus = Literal["pending", "paid", "provisioned", "failed", "cancelled", "refunded"]
Step = Literal["", "instance", "credits", "key", "active", "known", "done"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewOrder(_Strict):
    """What is to be bought, at which of the plan's prices, and through whom it is paid."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"plan": "starter", "currency": "usd", "every": "month", "provider": "stripe"}
        },
    )

    plan: Code
    currency: str = Field(pattern="^[a-z]{3}$")
    every: Every
    provider: str = Field(min_length=1, max_length=32, description="One that takes payments here")


class Note(_Strict):
    """Why; kept in the audit log."""

    note: str = Field(min_length=1, max_length=200)


class Refund(_Strict):
    """How much to return in all of a payment, minor units; without it everything."""

    payment_id: str | None = Field(
        default=None, max_length=128, description="Which payment; without it the one that paid the order"
    )
    amount_minor: int | None = Field(default=None, ge=1, le=10_000_000_000)
    note: str = Field(min_length=1, max_length=200)


class OrderView(BaseModel):
    """An order."""

    order_id: str
    org_id: str
    plan: str = Field(description="The plan's code")
    provider: str
    status: OrderStatus
    step: Step = Field(description="The next step of provisioning; empty before it is paid")
    error: str = Field(description="Why it failed or is tried again; empty when all is well")
    currency: str
    amount_minor: int
    returned_minor: int
    every: Every
    instance_id: str | None = Field(description="What it provisioned, for an agent")
    has_welcome_key: bool = Field(description="Its key waits to be shown, once")
    created_at_ms: int
    updated_at_ms: int


class PaymentView(BaseModel):
    """What was paid once; in the currency's minor units."""

    payment_id: str
    provider: str
    currency: str
    amount_minor: int
    refunded_minor: int
    surplus: bool = Field(description="It bought nothing: all was paid already, or had ended. Return it")
    period_start_ms: int
    period_end_ms: int
    created_at_ms: int


class OrderDetail(OrderView):
    """An order with its payments, and its subscription's: the newest hundred."""

    payments: list[PaymentView]


class PlacedOrder(OrderView):
    """An order with where to pay it."""

    checkout_url: str = Field(description="Where the buyer pays; empty: nowhere to go")


class OrderPage(BaseModel):
    """One page of orders, newest first."""

    orders: list[OrderView]
    next_cursor: str | None


class WelcomeKey(BaseModel):
    """The key of a new instance, shown here and never again."""

    instance_id: str
    key: str
