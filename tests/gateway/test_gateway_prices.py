"""Prices that change at a moment: a run is priced by the book in force when it was admitted."""

from __future__ import annotations

from typing import Any

import msgspec
from gateway_log import until
from gateway_rig import Plane, assert_problem, micro

from kit import clock
from metering.price_schedule import BookOverrides, Entry, PriceSchedule, build
from metering.prices import cost
from metering.runs import fold
from schemas import keys


async def test_a_run_is_priced_by_the_book_in_force_when_it_was_admitted(plane: Plane, fast: Any) -> None:
    dearer = build(plane.book, BookOverrides(name="dearer", mark_up_permille=200))
    await plane.redis.set(keys.price_book(dearer.version), msgspec.json.encode(dearer))
    changes_at = clock.now_ms() + 3_000
    entries = (
        Entry(effective_from_ms=0, version=plane.book.version),
        Entry(effective_from_ms=changes_at, version=dearer.version),
    )
    await plane.redis.set(keys.price_schedule("tenant_prices"), msgspec.json.encode(PriceSchedule(entries)))
    tenant = await plane.tenant(tenant_id="tenant_prices")
    books = {book.version: book for book in (plane.book, dearer)}

    async def ask() -> str:
        answer = await plane.ask(fast.gateway, tenant)
        assert answer.status == 200
        metered = await plane.log.of(answer.json["run_id"])
        closing = metered.closing
        state = fold(None, ((event, False) for event in metered.everything))
        # What the client was told is what that book makes of the run.
        assert micro(answer.json["usage"]["credits"]) == cost(state, books[closing.price_version]).micro
        assert (closing.started_at_ms >= changes_at) == (closing.price_version == dearer.version)
        return closing.price_version

    async def changed() -> bool:
        return await ask() == dearer.version

    assert await ask() == plane.book.version
    await until(changed, "the dearer book is in force")


async def test_a_tenant_without_prices_runs_nothing(plane: Plane, fast: Any) -> None:
    tenant = await plane.tenant(tenant_id="tenant_without_prices")
    refused = await plane.ask(fast.gateway, tenant)
    assert_problem(refused, 503, "limits_unavailable")
    assert refused.headers["Retry-After"]
