"""A marketplace's prices. Rates are micro-credits per million tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from console.api import Call
from console.visitor import Visitor, part


class Rates(Struct, frozen=True):
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int


class Entry(Struct, frozen=True):
    effective_from_ms: int
    version: str
    state: str


class BookSummary(Struct, frozen=True):
    version: str
    models: int
    default: Rates
    per_run_micro: int
    per_tool_call_micro: int
    created_at_ms: int


class Prices(Struct, frozen=True):
    now_ms: int
    in_force: str | None
    entries: tuple[Entry, ...]
    books: tuple[BookSummary, ...]


class Tier(Struct, frozen=True):
    above_input_tokens: int
    rates: Rates


class ModelPrice(Struct, frozen=True):
    model: str
    rates: Rates
    tiers: tuple[Tier, ...]


class Book(Struct, frozen=True):
    version: str
    models: tuple[ModelPrice, ...]
    default: Rates
    per_run_micro: int
    per_tool_call_micro: int
    tools_micro: dict[str, int]


class RateChange(Struct, frozen=True):
    model: str
    before: Rates | None
    after: Rates | None


class Cost(Struct, frozen=True):
    name: str
    calls: int
    tokens_in: int
    tokens_out: int
    before_micro: int
    after_micro: int
    unpriced: bool


class UsagePreview(Struct, frozen=True):
    from_ms: int
    to_ms: int
    models: tuple[Cost, ...]
    tools: tuple[Cost, ...]
    runs: Cost
    before_micro: int
    after_micro: int


class Preview(Struct, frozen=True):
    version: str
    changes: tuple[RateChange, ...]
    changed_models: int
    samples: tuple[Cost, ...]
    usage: UsagePreview | None


async def prices(visitor: Visitor) -> Prices:
    return await visitor.get("/prices", Prices)


async def book(visitor: Visitor, version: str) -> Book:
    """Return a published book, or of `list` the list prices of now."""
    return await visitor.get(f"/prices/books/{part(version)}", Book)


async def preview(
    visitor: Visitor, terms: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]
) -> Preview:
    return await visitor.post("/prices:preview", Preview, {"book": terms, "samples": samples})


async def publish(visitor: Visitor, terms: Mapping[str, Any], from_ms: int) -> None:
    await visitor.call(Call("POST", "/prices", body={"book": terms, "effective_from_ms": from_ms}))


async def schedule(visitor: Visitor, version: str, from_ms: int) -> None:
    body = {"version": version, "effective_from_ms": from_ms}
    await visitor.call(Call("POST", "/prices:schedule", body=body))


async def withdraw(visitor: Visitor, from_ms: int) -> None:
    await visitor.call(Call("POST", "/prices:withdraw", body={"effective_from_ms": from_ms}))
