"""The terms of a plan, as they are stored."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.directory import Limits
from schemas.events import Channel, Name

Every = Literal["once", "day", "month", "year"]
Kind = Literal["agent", "credits"]
Status = Literal["draft", "active", "archived"]
Names = Annotated[tuple[Name, ...], Meta(max_length=256)]


class KnowledgeQuota(Struct, frozen=True, kw_only=True):
    """How much an instance may know; 0 is as much as the installation allows, which nothing exceeds."""

    max_sources: Annotated[int, Meta(ge=0, le=5_000)] = 0
    max_bytes: Annotated[int, Meta(ge=0, le=1 << 50)] = 0
    max_site_pages: Annotated[int, Meta(ge=0, le=5_000)] = 0


class Entitlements(Struct, frozen=True, kw_only=True):
    """What an instance of the plan may use. The first model is the default; no channels means all of them."""

    models: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=256)]
    tools: Names = ()
    channels: Annotated[tuple[Channel, ...], Meta(max_length=16)] = ()
    max_output_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_024
    limits: Limits = Limits()
    knowledge: KnowledgeQuota = KnowledgeQuota()


class Price(Struct, frozen=True, kw_only=True):
    """What a plan costs, in the currency's minor units (cents), and how often."""

    currency: Annotated[str, Meta(pattern="^[a-z]{3}$")]
    amount_minor: Annotated[int, Meta(ge=0, le=10_000_000_000)]
    every: Every
    provider_ref: Annotated[str, Meta(max_length=128)] = ""
