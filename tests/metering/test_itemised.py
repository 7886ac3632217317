from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_strategies import (
    MODELS,
    STARTED,
    WHOSE,
    Pairs,
    briefly,
    lawful_runs,
    price_books,
    token,
    tokens,
    tool,
)
from test_prices_tiers import ABOVE_200K, BOOK, HIGH, tiered_books

from metering.corrections import corrected_cost
from metering.itemised import itemised
from metering.prices import TOKENS_PER_RATE, PriceBook, cost
from metering.runs import fold
from schemas.events import CorrectionEvent


def correction(
    request_id: str, kind: str, at_ms: int = STARTED + 60_000, **fields: object
) -> CorrectionEvent:
    said = {"request_id": request_id, "kind": kind, "occurred_at_ms": at_ms}
    return CorrectionEvent(**{**WHOSE, **said, **fields})  # type: ignore[arg-type]


corrections = st.lists(
    st.builds(
        correction,
        st.sampled_from(("a", "b", "c")),
        st.sampled_from(("void", "amend", "rerate")),
        st.integers(STARTED, STARTED + 3),
        new_price_version=st.just("list-2"),
        call_id=st.sampled_from(("", "call_0", "call_1")),
        model=st.sampled_from(("", *MODELS)),
        input_uncached=tokens,
        output=tokens,
    ),
    max_size=4,
)


@briefly
@given(lawful_runs(), tiered_books())
def test_the_items_of_a_run_add_up_to_its_cost(events: Pairs, book: PriceBook) -> None:
    state = fold(None, events)

    bill = itemised(state, {book.version: book})

    assert sum(item.amount_micro for item in bill.items) == bill.total_micro == cost(state, book).micro
    assert bill.adjustments == ()


@briefly
@given(lawful_runs(), corrections, tiered_books(), price_books())
def test_with_corrections_items_and_adjustments_add_up_to_what_is_charged(
    events: Pairs, amended: list[CorrectionEvent], book: PriceBook, other: PriceBook
) -> None:
    state = fold(None, [*events, *((event, False) for event in amended)])
    books = {book.version: book, "list-2": msgspec.structs.replace(other, version="list-2")}

    bill = itemised(state, books)

    parts = [item.amount_micro for item in bill.items] + [one.amount_micro for one in bill.adjustments]
    assert sum(parts) == bill.total_micro == corrected_cost(state, books)[1].micro
    # A correction never rewrites what was charged before it.
    assert bill.items == itemised(fold(None, events), books).items


def test_a_correction_that_is_asked_for_again_later_changes_nothing() -> None:
    usage = token("c", 0, input_uncached=1_000_000, final=True)
    other = msgspec.structs.replace(
        BOOK, version="list-2", default=msgspec.structs.replace(BOOK.default, input=7_000_000)
    )
    books = {"list-1": msgspec.structs.replace(BOOK, version="list-1"), "list-2": other}
    there = correction("there", "rerate", STARTED + 1, new_price_version="list-2")
    back = correction("back", "rerate", STARTED + 2, new_price_version="list-1")
    again = correction("there", "rerate", STARTED + 3, new_price_version="list-2")

    once = fold(None, [(event, False) for event in (usage, there, back)])
    twice = fold(once, [(again, False)])

    assert corrected_cost(twice, books) == corrected_cost(once, books)
    assert corrected_cost(once, books)[2][0].amount_micro != 0


@briefly
@given(lawful_runs(), tiered_books())
def test_an_item_is_its_quantity_at_its_rate_and_a_call_is_rounded_up_once(
    events: Pairs, book: PriceBook
) -> None:
    state = fold(None, events)
    items = itemised(state, {book.version: book}).items

    for item in items:
        if item.component != "rounding":
            assert item.amount_micro == item.quantity * item.rate // item.per
    for call_id in state.calls:
        mine = [item for item in items if item.reference == call_id]
        exact = sum(item.quantity * item.rate for item in mine)
        (rounding,) = [i.amount_micro for i in mine if i.component == "rounding"] or [0]
        assert 0 <= rounding <= 5
        assert sum(i.amount_micro for i in mine) == -(-exact // TOKENS_PER_RATE)


def test_what_each_item_says() -> None:
    call = token("c", 0, model="tiered", input_uncached=200_001, cache_read=3, output=10, reasoning=4)
    state = fold(None, [(call, False), (tool("t", tool="search"), False)])
    book = msgspec.structs.replace(BOOK, version="list-1")

    items = itemised(state, {"list-1": book}).items

    assert [(i.component, i.reference, i.name, i.quantity, i.rate, i.amount_micro) for i in items] == [
        ("input", "c", "tiered", 200_001, HIGH.input, 400_002),
        # 0.6 of a micro-credit: rounded down here, and up with the call.
        ("cache_read", "c", "tiered", 3, HIGH.cache_read, 0),
        ("output", "c", "tiered", 6, HIGH.output, 36),
        ("reasoning", "c", "tiered", 4, HIGH.reasoning, 32),
        ("rounding", "c", "tiered", 0, 0, 1),
        ("tool_call", "t", "search", 1, 77, 77),
        ("run_fee", "", "", 1, 100, 100),
    ]
    assert {i.above_input_tokens for i in items if i.reference == "c"} == {ABOVE_200K.above_input_tokens}


def test_more_reasoning_than_output_is_not_paid_twice() -> None:
    state = fold(None, [(token("c", 0, model="plain", output=2, reasoning=9), False)])
    book = msgspec.structs.replace(BOOK, version="list-1")

    items = itemised(state, {"list-1": book}).items

    assert [(i.component, i.quantity) for i in items] == [("reasoning", 2), ("run_fee", 1)]
    assert sum(i.amount_micro for i in items) == cost(state, book).micro


def test_a_model_that_is_not_in_the_book_is_marked() -> None:
    state = fold(None, [(token("c", 0, model="unheard-of", output=2), False)])
    book = msgspec.structs.replace(BOOK, version="list-1")
    assert [i.unpriced for i in itemised(state, {"list-1": book}).items] == [True, False]


def test_without_the_book_nothing_is_made_up() -> None:
    with pytest.raises(KeyError):
        itemised(fold(None, [(token("c", 0), False)]), {})
