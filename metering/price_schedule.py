"""Whose prices hold when: a tenant's schedule of price books, and how a tenant's own book is made.

A schedule names books by version and never changes the past: a run is priced by the version it was admitted
under, and whoever asks later which one that was must get the same answer.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from metering.prices import Fee, PriceBook, Rates, Tier, Tiers, check_tiers, checked, versioned
from schemas.events import Id, Name, UnixMs

#: The oldest entries that no longer hold are forgotten first.
MAX_ENTRIES = 64
PERMILLE = 1_000

#: Thousandths added to a price; at most ten times the price on top.
MarkUp = Annotated[int, Meta(ge=0, le=10 * PERMILLE)]
#: A model, or a prefix of models' names that ends in `*`.
Models = Annotated[str, Meta(pattern=r"^[^*]+\*?$", max_length=256)]
BookName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Entry(Struct, frozen=True, kw_only=True):
    """From this moment on new runs are priced with that version, until a later entry."""

    effective_from_ms: UnixMs
    version: Id


class PriceSchedule(Struct, frozen=True):
    """One tenant's entries, in ascending order of time, no two at one moment."""

    entries: Annotated[tuple[Entry, ...], Meta(max_length=MAX_ENTRIES)] = ()

    def __post_init__(self) -> None:
        moments = [entry.effective_from_ms for entry in self.entries]
        if any(b <= a for a, b in pairwise(moments)):
            raise ValueError("the entries of a price schedule do not ascend: sort them, one a moment")


class BookOverrides(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a tenant's prices differ from a base book. What is not named here costs what it costs there."""

    #: Begins the version of the book, for those who read it.
    name: BookName
    #: On every model of the base without a mark-up or rates of its own, and on the price of unknown models.
    mark_up_permille: MarkUp = 0
    #: By model or prefix, instead of the one above; a full name beats a prefix, a longer prefix a shorter.
    mark_ups_permille: Annotated[dict[Models, MarkUp], Meta(max_length=256)] = {}
    #: Absolute rates, never marked up, also of models that the base lacks. They replace a model's tiers, too.
    models: Annotated[dict[Name, Rates], Meta(max_length=1_000)] = {}
    #: The tiers of `models`.
    tiers: Annotated[dict[Name, Tiers], Meta(max_length=1_000)] = {}
    #: Absolute rates of a model that is not in the book, never marked up.
    default: Rates | None = None
    per_run: Fee | None = None
    per_tool_call: Fee | None = None
    tools: Annotated[dict[Name, Fee], Meta(max_length=1_000)] = {}

    def __post_init__(self) -> None:
        for model, tiers in self.tiers.items():
            if model not in self.models:
                raise ValueError(f"{model!r} has tiers but no rates: add it to `models`")
            check_tiers(model, self.models[model], tiers)
        if both := sorted(self.models.keys() & self.mark_ups_permille.keys()):
            raise ValueError(f"{both[0]!r} has absolute rates and a mark-up: drop one of them")


def version_at(schedule: PriceSchedule, at_ms: int) -> str | None:
    """Return the version in force at that moment; `None` before the first entry that is kept."""
    held = _held(schedule, at_ms)
    return schedule.entries[held - 1].version if held else None


def add(schedule: PriceSchedule, entry: Entry, now_ms: int) -> PriceSchedule:
    """Return the schedule with one more entry, forgetting the oldest when it is full.

    Raises `ValueError` for an entry that would change the past, that has the moment of another, or that finds
    a schedule full of entries that are still needed.
    """
    at = entry.effective_from_ms
    if at < now_ms:
        raise ValueError(f"prices cannot change in the past: take a moment at or after {now_ms}")
    kept = schedule.entries
    if any(known.effective_from_ms == at for known in kept):
        raise ValueError(f"prices change at {at} already: take another moment, or withdraw that entry first")
    if len(kept) >= MAX_ENTRIES:
        # The entry in force is still needed, and so is every later one.
        if _held(schedule, now_ms) < 2:
            raise ValueError(f"a schedule has at most {MAX_ENTRIES} entries: withdraw one that is to come")
        kept = kept[1:]
    place = bisect_right([known.effective_from_ms for known in kept], at)
    return checked(PriceSchedule((*kept[:place], entry, *kept[place:])))


def withdraw(schedule: PriceSchedule, effective_from_ms: int, now_ms: int) -> PriceSchedule:
    """Return the schedule without the entry of that moment. Raises `ValueError` unless it is to come."""
    if effective_from_ms <= now_ms:
        raise ValueError("prices that hold or held cannot be withdrawn: add an entry that replaces them")
    kept = tuple(known for known in schedule.entries if known.effective_from_ms != effective_from_ms)
    if len(kept) == len(schedule.entries):
        raise ValueError(f"no prices change at {effective_from_ms}: read the schedule again")
    return PriceSchedule(kept)


def build(base: PriceBook, overrides: BookOverrides) -> PriceBook:
    """Return the book that the overrides make of `base`; equal prices and names give an equal version.

    Rates are rounded up. Fees are not marked up. Raises `ValueError` when a rate, fee or mark-up is out of
    bounds, by itself or once marked up, or when a mark-up is for no model of the base.
    """
    overrides = checked(overrides)
    _refuse_idle_mark_ups(base, overrides)
    models, tiers = dict(overrides.models), dict(overrides.tiers)
    for model, rates in base.models.items():
        if model not in overrides.models:
            permille = _mark_up(overrides, model)
            models[model] = _raised(rates, permille)
            if model in base.tiers:
                tiers[model] = tuple(_raised_tier(tier, permille) for tier in base.tiers[model])
    book = PriceBook(
        version="",
        models=models,
        tiers=tiers,
        default=overrides.default or _raised(base.default, overrides.mark_up_permille),
        per_run=base.per_run if overrides.per_run is None else overrides.per_run,
        per_tool_call=base.per_tool_call if overrides.per_tool_call is None else overrides.per_tool_call,
        tools={**base.tools, **overrides.tools},
    )
    return versioned(book, overrides.name)


def _held(schedule: PriceSchedule, at_ms: int) -> int:
    """Return how many entries had begun at that moment."""
    return bisect_right(schedule.entries, at_ms, key=lambda entry: entry.effective_from_ms)


def _covers(models: str, model: str) -> bool:
    return model.startswith(models[:-1]) if models.endswith("*") else model == models


def _refuse_idle_mark_ups(base: PriceBook, overrides: BookOverrides) -> None:
    for models in overrides.mark_ups_permille:
        if not any(_covers(models, model) for model in base.models):
            raise ValueError(f"{models!r} is marked up but no model of {base.version!r}: mend or drop it")


def _mark_up(overrides: BookOverrides, model: str) -> int:
    known = overrides.mark_ups_permille
    if model in known:
        return known[model]
    prefixes = [models for models in known if models.endswith("*") and _covers(models, model)]
    return known[max(prefixes, key=len)] if prefixes else overrides.mark_up_permille


def _raised(rates: Rates, permille: int) -> Rates:
    # Rounding up keeps the order of rates, and with it what `Rates` and `check_tiers` ask for.
    fields = Rates.__struct_fields__
    raised = {name: -(-getattr(rates, name) * (PERMILLE + permille) // PERMILLE) for name in fields}
    return msgspec.structs.replace(rates, **raised)


def _raised_tier(tier: Tier, permille: int) -> Tier:
    return msgspec.structs.replace(tier, rates=_raised(tier.rates, permille))
