"""What operators do with prices. What a change would cost is `preview`'s."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control.directory import prices as directory
from console_api.control.errors import Conflict
from console_api.database.tables import PriceBookRow
from console_api.prices import repository
from console_api.prices.models import (
    LIST,
    BookSummary,
    BookTerms,
    BookView,
    EntryView,
    ModelView,
    NewPrices,
    PricesView,
    RatesTerms,
    Scheduling,
    TierTerms,
)
from kit.problems import InvalidRequest, NotFound
from metering import price_schedule
from metering.catalog import list_price_book
from metering.price_schedule import BookOverrides, Entry, PriceSchedule, version_at
from metering.prices import PriceBook, Rates

#: How far a client's clock may be behind, and how long a change is announced before it holds.
TOLERANCE_MS = 60_000
LEAD_MS = 5_000
MAX_BOOKS = 500
_SHOWN_BOOKS = 100


def operators_only(principal: Principal) -> None:
    """Raise `Forbidden` for everybody else."""
    roles.require(principal, "operator", "To see or change the marketplace's prices")


async def read(session: AsyncSession, principal: Principal, now_ms: int) -> PricesView:
    """Return what holds from when, and the books."""
    operators_only(principal)
    schedule = await directory.scheduled(session, principal.tenant_id)
    books = await repository.books(session, principal.tenant_id, _SHOWN_BOOKS)
    return PricesView(
        now_ms=now_ms,
        in_force=version_at(schedule, now_ms),
        entries=_entries(schedule, now_ms),
        books=[_summary(row) for row in books],
    )


async def book(session: AsyncSession, principal: Principal, version: str, now_ms: int) -> BookView:
    """Return a published book, or the list prices of now. Raises `NotFound`."""
    operators_only(principal)
    if version == LIST:
        return _view(await _listed(now_ms), 0)
    row = await _published(session, principal.tenant_id, version)
    return _view(row.book, row.created_at_ms)


async def publish(session: AsyncSession, principal: Principal, wanted: NewPrices, now_ms: int) -> PricesView:
    """Publish a book and schedule it. Raises `InvalidRequest`, `NotFound` (its base), `Conflict`."""
    operators_only(principal)
    made = await build(session, principal.tenant_id, wanted.book, now_ms)
    if await repository.count(session, principal.tenant_id) >= MAX_BOOKS:
        raise Conflict(f"There are {MAX_BOOKS} price books: schedule one that is published.")
    tenant_id, actor = principal.tenant_id, principal.subject
    await directory.publish_book(session, tenant_id, made, actor=actor, at_ms=now_ms)
    at_ms = await _moment(session, tenant_id, wanted.effective_from_ms, now_ms)
    await directory.schedule_book(session, tenant_id, made.version, at_ms, actor=actor, at_ms=now_ms)
    return await read(session, principal, now_ms)


async def schedule(
    session: AsyncSession, principal: Principal, wanted: Scheduling, now_ms: int
) -> PricesView:
    """Schedule a published book. Raises `InvalidRequest`, `NotFound`, `Conflict`."""
    operators_only(principal)
    at_ms = await _moment(session, principal.tenant_id, wanted.effective_from_ms, now_ms)
    await directory.schedule_book(
        session, principal.tenant_id, wanted.version, at_ms, actor=principal.subject, at_ms=now_ms
    )
    return await read(session, principal, now_ms)


async def withdraw(session: AsyncSession, principal: Principal, from_ms: int, now_ms: int) -> PricesView:
    """Take back an entry that is to come. Raises `Conflict` for any other."""
    operators_only(principal)
    await directory.withdraw(session, principal.tenant_id, from_ms, actor=principal.subject, at_ms=now_ms)
    return await read(session, principal, now_ms)


async def build(session: AsyncSession, tenant_id: str, terms: BookTerms, now_ms: int) -> PriceBook:
    """Return the book that the terms make. Raises `InvalidRequest`, `NotFound` for its base."""
    base = (
        await _listed(now_ms)
        if terms.base == LIST
        else (await _published(session, tenant_id, terms.base)).book
    )
    try:
        return price_schedule.build(base, msgspec.convert(terms.overrides(), BookOverrides))
    except ValueError as error:
        raise InvalidRequest(f"These prices make no sense: {error}.") from None


async def known(session: AsyncSession, tenant_id: str, version: str) -> PriceBook:
    """Return a published book. Raises `NotFound`."""
    return (await _published(session, tenant_id, version)).book


async def _published(session: AsyncSession, tenant_id: str, version: str) -> PriceBookRow:
    row = await repository.book(session, tenant_id, version)
    if row is None:
        raise NotFound("There is no such price book; list them at /api/v1/prices.")
    return row


async def _listed(now_ms: int) -> PriceBook:
    # It reads a table of a thousand models.
    return await asyncio.to_thread(list_price_book, datetime.fromtimestamp(now_ms / 1000, UTC))


async def _moment(session: AsyncSession, tenant_id: str, wanted_ms: int, now_ms: int) -> int:
    """Return from when a book is to hold. Raises `InvalidRequest` for a moment that is past."""
    if not wanted_ms and not (await directory.scheduled(session, tenant_id)).entries:
        return 0  # the first book: there was nothing before it
    if wanted_ms and wanted_ms < now_ms - TOLERANCE_MS:
        raise InvalidRequest("Prices cannot change in the past: give a later `effective_from_ms`, or none.")
    # Announced a little before, so that every gateway knows by then.
    return max(wanted_ms, now_ms + LEAD_MS)


def _entries(schedule: PriceSchedule, now_ms: int) -> list[EntryView]:
    held = [entry for entry in schedule.entries if entry.effective_from_ms <= now_ms]
    return [
        EntryView(effective_from_ms=entry.effective_from_ms, version=entry.version, state=_state(entry, held))
        for entry in reversed(schedule.entries)
    ]


def _state(entry: Entry, held: Sequence[Entry]) -> Literal["past", "in_force", "to_come"]:
    if entry not in held:
        return "to_come"
    return "in_force" if entry is held[-1] else "past"


def rates_view(rates: Rates) -> RatesTerms:
    return RatesTerms(**msgspec.structs.asdict(rates))


def _summary(row: PriceBookRow) -> BookSummary:
    book = row.book
    return BookSummary(
        version=row.version,
        models=len(book.models),
        default=rates_view(book.default),
        per_run_micro=book.per_run,
        per_tool_call_micro=book.per_tool_call,
        created_at_ms=row.created_at_ms,
    )


def _view(book: PriceBook, published_at_ms: int) -> BookView:
    return BookView(
        version=book.version,
        models=[_model(book, model) for model in sorted(book.models)],
        default=rates_view(book.default),
        per_run_micro=book.per_run,
        per_tool_call_micro=book.per_tool_call,
        tools_micro=book.tools,
        published_at_ms=published_at_ms,
    )


def _model(book: PriceBook, model: str) -> ModelView:
    tiers = [
        TierTerms(above_input_tokens=tier.above_input_tokens, rates=rates_view(tier.rates))
        for tier in book.tiers.get(model, ())
    ]
    return ModelView(model=model, rates=rates_view(book.models[model]), tiers=tiers)
