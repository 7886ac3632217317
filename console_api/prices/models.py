"""Prices on the wire. Rates are integer micro-credits per million tokens, fees micro-credits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from metering.price_schedule import PERMILLE
from metering.prices import MICRO_PER_CREDIT

#: Of the published list prices, as the base of a book.
LIST = "list"
MAX_SAMPLES = 20

_Rate = Annotated[int, Field(ge=0, le=1_000 * 100 * MICRO_PER_CREDIT)]
_Fee = Annotated[int, Field(ge=0, le=1_000 * MICRO_PER_CREDIT, description="Micro-credits")]
_MarkUp = Annotated[int, Field(ge=0, le=10 * PERMILLE, description="Thousandths on top")]
_Name = Annotated[str, Field(min_length=1, max_length=256)]
_Models = Annotated[str, Field(pattern=r"^[^*]+\*?$", max_length=256)]
_Tokens = Annotated[int, Field(ge=0, le=10_000_000_000)]
Version = Annotated[str, Field(min_length=1, max_length=128, examples=["list-1f0c6f4e2b8d9a37"])]
Moment = Annotated[int, Field(ge=0, le=4_102_444_800_000, description="Unix ms; 0: as soon as possible")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RatesTerms(_Strict):
    """Micro-credits per million tokens of each bucket. `reasoning` is at least `output`."""

    input: _Rate
    cache_read: _Rate
    cache_write: _Rate
    output: _Rate
    reasoning: _Rate


class TierTerms(_Strict):
    """What every token of a call costs whose input is larger than that."""

    above_input_tokens: _Tokens
    rates: RatesTerms


class BookTerms(_Strict):
    """A new book: how it differs from its base. What is not named here costs what it costs there."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"name": "autumn", "base": "list", "mark_up_permille": 250}},
    )

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Begins the book's version")
    base: Version = Field(default=LIST, description="`list`, or a published book's version")
    mark_up_permille: _MarkUp = Field(default=0, description="On all rates that are not named below")
    mark_ups_permille: dict[_Models, _MarkUp] = Field(
        default={}, max_length=256, description="By model, or by a prefix that ends in `*`"
    )
    models: dict[_Name, RatesTerms] = Field(default={}, max_length=1_000)
    tiers: dict[_Name, list[TierTerms]] = Field(default={}, max_length=1_000)
    default: RatesTerms | None = Field(default=None, description="Of models that are in no book")
    per_run_micro: _Fee | None = None
    per_tool_call_micro: _Fee | None = None
    tools_micro: dict[_Name, _Fee] = Field(default={}, max_length=1_000)

    def overrides(self) -> dict[str, Any]:
        """Return what `metering.price_schedule.BookOverrides` is made of."""
        named = self.model_dump(exclude_none=True, exclude={"base"})
        for name in ("per_run", "per_tool_call", "tools"):
            if (value := named.pop(f"{name}_micro", None)) is not None:
                named[name] = value
        return named


class NewPrices(_Strict):
    """A book to be published, and from when new runs are priced with it."""

    book: BookTerms
    effective_from_ms: Moment = 0


class Scheduling(_Strict):
    """A published book, and from when new runs are priced with it."""

    version: Version
    effective_from_ms: Moment = 0


class Withdrawal(_Strict):
    """The moment of an entry that is to come."""

    effective_from_ms: int = Field(ge=1, le=4_102_444_800_000)


class Sample(_Strict):
    """One run to be priced: a model call, and some calls of tools."""

    model: _Name
    input_uncached: _Tokens = 0
    cache_read: _Tokens = 0
    cache_write: _Tokens = 0
    output: _Tokens = 0
    reasoning: _Tokens = Field(default=0, description="A part of `output`")
    tool_calls: int = Field(default=0, ge=0, le=1_000)


class PreviewTerms(_Strict):
    """What to compare with what holds now: a book that is to be made, or a published one."""

    book: BookTerms | None = None
    version: Version | None = None
    samples: list[Sample] = Field(default=[], max_length=MAX_SAMPLES)


class EntryView(BaseModel):
    """From that moment on new runs are priced with that book. 0: always."""

    effective_from_ms: int
    version: str
    state: Literal["past", "in_force", "to_come"]


class BookSummary(BaseModel):
    """A published book."""

    version: str
    models: int
    default: RatesTerms
    per_run_micro: int
    per_tool_call_micro: int
    created_at_ms: int


class PricesView(BaseModel):
    """The tenant's schedule, the latest first, and its books, the newest first."""

    now_ms: int
    in_force: str | None
    entries: list[EntryView]
    books: list[BookSummary]


class ModelView(BaseModel):
    """What a model costs."""

    model: str
    rates: RatesTerms
    tiers: list[TierTerms]


class BookView(BaseModel):
    """A book, whole. `published_at_ms` is 0 for the list prices of now."""

    version: str
    models: list[ModelView]
    default: RatesTerms
    per_run_micro: int
    per_tool_call_micro: int
    tools_micro: dict[str, int]
    published_at_ms: int


class RateChange(BaseModel):
    """A model whose rates differ; `None` where a book does not have it."""

    model: str
    before: RatesTerms | None
    after: RatesTerms | None


class Cost(BaseModel):
    """Something's price before and after. `unpriced`: the new book has no such model."""

    name: str
    calls: int
    tokens_in: int
    tokens_out: int
    before_micro: int
    after_micro: int
    unpriced: bool = False


class UsagePreview(BaseModel):
    """What the tenant's usage of those days would cost, without corrections."""

    from_ms: int
    to_ms: int
    models: list[Cost]
    tools: list[Cost]
    runs: Cost
    before_micro: int
    after_micro: int


class Preview(BaseModel):
    """What a book would change. `usage` is missing while the history cannot be read."""

    version: str
    compared_with: str | None
    published: bool
    changes: list[RateChange] = Field(description="At most 200 models, the most used first")
    changed_models: int
    samples: list[Cost]
    usage: UsagePreview | None
