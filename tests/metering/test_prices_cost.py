from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_strategies import (
    Pairs,
    briefly,
    growing_call,
    lawful_runs,
    price_books,
    run,
    token,
    tokens,
    tool,
    wild_runs,
)

from metering.prices import PriceBook, Rates, call_cost, cost, worst_case
from metering.runs import RunState, fold, merge

ONE = Rates(input=1, cache_read=1, cache_write=1, output=1, reasoning=1)
EVEN = Rates(
    input=3_000_000, cache_read=1_000_000, cache_write=4_000_000, output=5_000_000, reasoning=7_000_000
)
BOOK = PriceBook(version="b", models={"cheap": EVEN}, default=ONE, per_run=100, per_tool_call=10)


def as_json(**fields: int) -> bytes:
    return msgspec.json.encode({**msgspec.to_builtins(EVEN), **fields})


@briefly
@given(lawful_runs(), price_books(), st.data())
def test_each_event_of_a_lawful_run_leaves_the_cost_or_raises_it(
    events: Pairs, book: PriceBook, data: st.DataObject
) -> None:
    state: RunState | None = None
    charged = 0
    for event, skewed in data.draw(st.permutations(events)):
        state = merge(state, event, skewed=skewed)
        micro = cost(state, book).micro
        assert micro >= charged
        charged = micro


@briefly
@given(wild_runs, price_books(), st.data())
def test_the_cost_is_a_whole_number_that_no_order_changes(
    events: Pairs, book: PriceBook, data: st.DataObject
) -> None:
    charge = cost(fold(None, events), book)
    other = cost(fold(None, data.draw(st.permutations(events))), book)

    assert charge == other
    assert type(charge.micro) is int
    assert charge.micro >= 0


@briefly
@given(growing_call("c", corrected=True), price_books(), st.data())
def test_the_providers_final_word_replaces_every_estimate(
    counts: list, book: PriceBook, data: st.DataObject
) -> None:
    state = fold(None, [(event, False) for event in data.draw(st.permutations(counts))])

    assert cost(state, book) == cost(merge(None, counts[-1]), book)


def test_a_correction_downwards_takes_back() -> None:
    estimate = merge(None, token("c", 4, output=900, source="estimate"))
    corrected = merge(estimate, token("c", 5, output=400, final=True))

    assert cost(corrected, BOOK).micro == cost(estimate, BOOK).micro - 500 * 5


@briefly
@given(growing_call("c"), price_books())
def test_worst_case_covers_any_lawful_call_of_that_size(counts: list, book: PriceBook) -> None:
    last = counts[-1]
    tokens_in = last.input_uncached + last.cache_read + last.cache_write

    assert worst_case(book, last.model, tokens_in, last.output) >= cost(merge(None, last), book).micro


def test_worst_case_covers_a_book_whose_cache_reads_are_dearest() -> None:
    odd = Rates(input=1, cache_read=9_000_000, cache_write=1, output=1, reasoning=1)
    book = PriceBook(version="b", models={"cheap": odd}, default=ONE)

    assert worst_case(book, "cheap", 10, 0) >= cost(merge(None, token("c", 0, cache_read=10)), book).micro


@briefly
@given(price_books(), tokens, tokens)
def test_worst_case_grows_with_the_size(book: PriceBook, tokens_in: int, tokens_out: int) -> None:
    known = worst_case(book, "dear", tokens_in, tokens_out)

    assert worst_case(book, "dear", tokens_in + 1, tokens_out) >= known
    assert worst_case(book, "dear", tokens_in, tokens_out + 1) >= known


def test_every_bucket_has_its_own_rate() -> None:
    counted = token("c", 0, input_uncached=1, cache_read=10, cache_write=100, output=1_000, reasoning=400)

    assert call_cost(merge(None, counted).calls["c"], EVEN) == 3 + 10 + 400 + 600 * 5 + 400 * 7


def test_each_call_is_rounded_up_by_itself() -> None:
    book = PriceBook(version="b", models={"cheap": ONE}, default=ONE)
    calls = fold(None, [(token(f"call_{n}", 0, output=1), False) for n in range(3)])

    assert cost(calls, book).micro == 3
    assert cost(merge(None, token("c", 0)), book).micro == 0


def test_reasoning_beyond_the_output_is_not_charged_twice() -> None:
    broken = merge(None, token("c", 0, output=10, reasoning=999)).calls["c"]

    assert call_cost(broken, EVEN) == 10 * 7


def test_a_run_refused_upstream_costs_nothing() -> None:
    state = fold(None, [(run("started"), False), (run("failed"), False)])

    assert cost(state, BOOK).micro == 0


def test_the_fee_is_due_once_and_tools_cost_by_name() -> None:
    book = msgspec.structs.replace(BOOK, tools={"search": 77})
    state = fold(None, [(tool("a"), False), (tool("b", tool="search", status="timeout"), False)])

    assert cost(state, book).micro == 100 + 10 + 77


def test_a_model_that_is_not_in_the_book_is_priced_by_default_and_flagged() -> None:
    known = cost(merge(None, token("c", 0, output=1_000_000)), BOOK)
    unknown = cost(merge(None, token("c", 0, output=1_000_000, model="unheard-of")), BOOK)

    assert (known.micro, known.unpriced) == (5_000_000 + 100, False)
    assert (unknown.micro, unknown.unpriced) == (1 + 100, True)


def test_reasoning_cheaper_than_output_is_refused() -> None:
    with pytest.raises(ValueError, match="cheaper"):
        Rates(input=1, cache_read=1, cache_write=1, output=2, reasoning=1)
    with pytest.raises(msgspec.ValidationError, match="cheaper"):
        msgspec.json.decode(as_json(reasoning=4_999_999), type=Rates)


@pytest.mark.parametrize("name", Rates.__struct_fields__)
@pytest.mark.parametrize("wrong", [-1, 100_000_000_001])
def test_a_rate_outside_its_bounds_is_refused(name: str, wrong: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(as_json(**{name: wrong}), type=Rates)


@pytest.mark.parametrize("fee", ["per_run", "per_tool_call"])
@pytest.mark.parametrize("wrong", [-1, 1_000_000_001, 0.5])
def test_a_fee_outside_its_bounds_is_refused(fee: str, wrong: float) -> None:
    body = {**msgspec.to_builtins(BOOK), fee: wrong}

    with pytest.raises(msgspec.ValidationError, match=fee):
        msgspec.json.decode(msgspec.json.encode(body), type=PriceBook)


def test_a_book_reads_back_as_it_was_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(BOOK), type=PriceBook) == BOOK
