"""Products and plans on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from console_api.catalogue.terms import Every, Kind, Status
from console_api.money import CreditsMicro
from schemas.events import MAX_EXACT, Channel

Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", examples=["support-agent"])]
_Name = Annotated[str, Field(min_length=1, max_length=256)]
_Amount = Annotated[int, Field(ge=0, le=MAX_EXACT)]
_Ceiling = Annotated[int, Field(ge=0, le=MAX_EXACT, description="0 is no limit")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LimitsTerms(_Strict):
    """What a plan allows an instance. `soft`: runs go on below zero, down to `overage_micro` of debt."""

    requests_per_minute: _Ceiling = 0
    tokens_per_minute: _Ceiling = 0
    max_concurrent_runs: _Ceiling = 0
    daily_cap_micro: _Ceiling = 0
    monthly_cap_micro: _Ceiling = 0
    soft: bool = False
    overage_micro: _Amount = 0
    cap_output: bool = True
    fail_open: bool = False


class KnowledgeTerms(_Strict):
    """How much an instance may know. 0 is as much as the installation allows, which nothing exceeds."""

    max_sources: int = Field(default=0, ge=0, le=5_000)
    max_bytes: int = Field(default=0, ge=0, le=1 << 50)
    max_site_pages: int = Field(default=0, ge=0, le=5_000)


class EntitlementTerms(_Strict):
    """What an instance of the plan may use. The first model is the default; no channels: all of them."""

    models: list[_Name] = Field(min_length=1, max_length=256)
    tools: list[_Name] = Field(default=[], max_length=256)
    channels: list[Channel] = Field(default=[], max_length=16)
    max_output_tokens: int = Field(default=1_024, ge=1, le=1_000_000)
    limits: LimitsTerms = LimitsTerms()
    knowledge: KnowledgeTerms = KnowledgeTerms()


class AllowanceTerms(_Strict):
    """Credits that a subscription includes, each period anew."""

    amount_micro: int = Field(ge=1, le=MAX_EXACT)
    every: Literal["day", "month"]
    rollover_cap_micro: _Amount = 0
    rollover_periods: int = Field(default=1, ge=1, le=120)
    priority: int = Field(default=10, ge=0, le=998)


class PriceTerms(_Strict):
    """A price in the currency's minor units (cents)."""

    currency: str = Field(pattern="^[a-z]{3}$", examples=["usd"])
    amount_minor: int = Field(ge=0, le=10_000_000_000)
    every: Every
    provider_ref: str = Field(
        default="", max_length=128, description="The price's id at the payment provider"
    )


class ProductTerms(_Strict):
    """A product as an operator writes it."""

    name: _Name
    description: str = Field(default="", max_length=8_192)
    kind: Kind = Field(default="agent", description="`credits`: plans of it are packs for what one has")
    status: Status = "active"


class PlanTerms(_Strict):
    """A plan as an operator writes it. Its instances follow a change at once."""

    product: Code
    name: _Name
    status: Status = "active"
    entitlements: EntitlementTerms
    allowance: AllowanceTerms | None = None
    credits_once_micro: _Amount = Field(default=0, description="Granted once, with the order")
    prices: list[PriceTerms] = Field(default=[], max_length=32)


class ProductView(BaseModel):
    """A product on offer."""

    product_id: str
    code: str
    name: str
    description: str
    kind: Kind
    status: Status
    version: int = Field(description="Grows with every change; the number in the ETag")


class PlanView(BaseModel):
    """A plan on offer."""

    plan_id: str
    code: str
    product: str = Field(description="The product's code")
    name: str
    status: Status
    entitlements: EntitlementTerms
    allowance: AllowanceTerms | None
    credits_once_micro: CreditsMicro
    prices: list[PriceTerms]
    version: int = Field(description="Grows with every change; the number in the ETag")


class ProductPage(BaseModel):
    """One page of products, by code."""

    products: list[ProductView]
    next_cursor: str | None


class PlanPage(BaseModel):
    """One page of plans, by code."""

    plans: list[PlanView]
    next_cursor: str | None
