"""What the demo's marketplace sells: two plans of one agent, and packs of credits. A credit is a cent."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.catalogue import service as catalogue
from console_api.catalogue.models import (
    AllowanceTerms,
    EntitlementTerms,
    LimitsTerms,
    PlanTerms,
    PriceTerms,
    ProductTerms,
)
from metering.prices import MICRO_PER_CREDIT
from stack.provider.order import MODELS

_TOOLS = ["calculator", "current_time"]

_PRODUCTS: Mapping[str, ProductTerms] = {
    "agent": ProductTerms(name="Agent", description="An agent that answers with tools."),
    "credits": ProductTerms(
        name="Credits", description="Credits for all agents of an organisation.", kind="credits"
    ),
}


def _every(month_minor: int) -> list[PriceTerms]:
    """A year costs ten months."""
    return [
        PriceTerms(currency="usd", amount_minor=month_minor, every="month"),
        PriceTerms(currency="usd", amount_minor=10 * month_minor, every="year"),
    ]


def _monthly(credits: int, rollover_credits: int) -> AllowanceTerms:
    return AllowanceTerms(
        amount_micro=credits * MICRO_PER_CREDIT,
        every="month",
        rollover_cap_micro=rollover_credits * MICRO_PER_CREDIT,
    )


def _pack(credits: int, price_minor: int) -> PlanTerms:
    return PlanTerms(
        product="credits",
        name=f"{credits:,} credits",
        entitlements=EntitlementTerms(models=list(MODELS)),
        credits_once_micro=credits * MICRO_PER_CREDIT,
        prices=[PriceTerms(currency="usd", amount_minor=price_minor, every="once")],
    )


_PLANS: Mapping[str, PlanTerms] = {
    # What the demo's own instances run on. It has no price, so nobody can buy it.
    "demo": PlanTerms(
        product="agent", name="Demo", entitlements=EntitlementTerms(models=list(MODELS), tools=_TOOLS)
    ),
    "starter": PlanTerms(
        product="agent",
        name="Starter",
        entitlements=EntitlementTerms(
            models=["gpt-4o-mini", "gpt-4.1-mini"],
            tools=_TOOLS,
            limits=LimitsTerms(requests_per_minute=60, max_concurrent_runs=10),
        ),
        allowance=_monthly(2_500, 0),
        prices=_every(2_900),
    ),
    "pro": PlanTerms(
        product="agent",
        name="Pro",
        entitlements=EntitlementTerms(
            models=list(MODELS),
            tools=_TOOLS,
            max_output_tokens=4_096,
            limits=LimitsTerms(requests_per_minute=600, max_concurrent_runs=100),
        ),
        allowance=_monthly(10_000, 5_000),
        prices=_every(9_900),
    ),
    "credits-1000": _pack(1_000, 1_000),
    "credits-10000": _pack(10_000, 9_500),
}


async def put_up(session: AsyncSession, tenant_id: str, *, actor: str, at_ms: int) -> str:
    """Put all of it up for sale, and return the id of the demo's own plan."""
    for code, product in _PRODUCTS.items():
        await catalogue.ensure_product(session, tenant_id, code, product, actor=actor, at_ms=at_ms)
    plans = {
        code: await catalogue.ensure_plan(session, tenant_id, code, plan, actor=actor, at_ms=at_ms)
        for code, plan in _PLANS.items()
    }
    return plans["demo"].plan_id
