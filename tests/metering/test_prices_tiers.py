from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from run_strategies import (
    BUCKETS,
    MODELS,
    Pairs,
    briefly,
    growing_call,
    lawful_runs,
    price_books,
    rates,
    run,
    token,
    tokens,
    tool,
    wild_runs,
)

from metering.prices import (
    MAX_OUTPUT_TOKENS,
    PriceBook,
    PriceLine,
    Rates,
    Tier,
    affordable_output,
    cost,
    lines,
    tier_of,
    worst_case,
)
from metering.runs import RunState, fold, merge

LOW = Rates(input=1_000_000, cache_read=100_000, cache_write=2_000_000, output=4_000_000, reasoning=5_000_000)
HIGH = Rates(
    input=2_000_000, cache_read=200_000, cache_write=4_000_000, output=6_000_000, reasoning=8_000_000
)
FREE = Rates(input=0, cache_read=0, cache_write=0, output=0, reasoning=0)
DEFAULT = Rates(
    input=9_000_000, cache_read=9_000_000, cache_write=9_000_000, output=9_000_000, reasoning=9_000_000
)
ABOVE_200K = Tier(above_input_tokens=200_000, rates=HIGH)
BOOK = PriceBook(
    version="b",
    models={"tiered": LOW, "plain": LOW, "free": FREE},
    tiers={"tiered": (ABOVE_200K,)},
    default=DEFAULT,
    per_run=100,
    per_tool_call=10,
    tools={"search": 77},
)
#: Without the fee, for one call.
NO_FEE = msgspec.structs.replace(BOOK, per_run=0)


@st.composite
def tiered_books(draw: st.DrawFn) -> PriceBook:
    """A book whose known models have up to three tiers, each as dear as the one below or dearer."""
    book = draw(price_books())
    tiers = {}
    for model, below in book.models.items():
        found = []
        for above in sorted(draw(st.sets(st.integers(0, 6_000_000), max_size=3))):
            other = draw(rates())
            below = Rates(  # noqa: PLW2901
                **{name: max(getattr(below, name), getattr(other, name)) for name in Rates.__struct_fields__}
            )
            found.append(Tier(above_input_tokens=above, rates=below))
        if found:
            tiers[model] = tuple(found)
    return msgspec.structs.replace(book, tiers=tiers)


def priced(**fields: object) -> int:
    return cost(merge(None, token("c", 0, **{"model": "tiered", **fields})), NO_FEE).micro


# Tiers


def test_on_the_threshold_the_base_rates_still_hold() -> None:
    assert priced(input_uncached=200_000, output=10) == 200_000 + 10 * 4


def test_above_the_threshold_every_token_is_dearer_and_not_only_those_above() -> None:
    assert priced(input_uncached=200_001, output=10) == 200_001 * 2 + 10 * 6


@pytest.mark.parametrize("bucket", ["cache_read", "cache_write"])
def test_cached_input_counts_towards_the_threshold(bucket: str) -> None:
    rate = {"cache_read": 200_000, "cache_write": 4_000_000}[bucket]

    assert priced(input_uncached=1, **{bucket: 200_000}) == 2 + 200_000 * rate // 1_000_000
    assert tier_of(BOOK, "tiered", 200_001) == ABOVE_200K


def test_output_does_not_count_towards_the_threshold() -> None:
    assert priced(input_uncached=1, output=1_000_000) == 1 + 1_000_000 * 4


def test_reasoning_pays_the_tiers_own_rate() -> None:
    assert priced(input_uncached=200_001, output=10, reasoning=4) == 200_001 * 2 + 6 * 6 + 4 * 8


def test_calls_of_one_run_do_not_push_each_other_over_a_threshold() -> None:
    calls = [(token(f"call_{n}", 0, model="tiered", input_uncached=150_000), False) for n in range(3)]

    assert cost(fold(None, calls), NO_FEE).micro == 450_000


def test_the_highest_tier_that_is_reached_applies() -> None:
    tiers = (ABOVE_200K, Tier(above_input_tokens=400_000, rates=DEFAULT))
    book = msgspec.structs.replace(NO_FEE, tiers={"tiered": tiers})

    found = [tier_of(book, "tiered", size) for size in (0, 200_000, 200_001, 400_000, 400_001)]

    assert found == [None, None, tiers[0], tiers[0], tiers[1]]


def test_a_free_model_costs_nothing_and_is_not_flagged() -> None:
    state = merge(None, token("c", 0, model="free", input_uncached=900_000, output=900_000))

    assert (cost(state, NO_FEE).micro, cost(state, NO_FEE).unpriced) == (0, False)


def test_an_unknown_model_has_the_default_price_at_any_size_and_is_flagged() -> None:
    charge = cost(merge(None, token("c", 0, model="new", input_uncached=300_000)), NO_FEE)

    assert (charge.micro, charge.unpriced) == (300_000 * 9, True)


def test_a_book_stored_before_there_were_tiers_reads_and_prices_as_it_did() -> None:
    body = msgspec.to_builtins(BOOK)
    del body["tiers"]
    book = msgspec.json.decode(msgspec.json.encode(body), type=PriceBook)

    assert book.tiers == {}
    assert cost(merge(None, token("c", 0, model="tiered", input_uncached=300_000)), book).micro == 300_100


def test_a_book_with_tiers_reads_back_as_it_was_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(BOOK), type=PriceBook) == BOOK


@pytest.mark.parametrize("name", Rates.__struct_fields__)
def test_a_tier_with_a_cheaper_rate_is_refused(name: str) -> None:
    rates = {**msgspec.to_builtins(LOW), name: getattr(LOW, name) - 1}
    if name == "reasoning":
        rates["output"] = LOW.output
    cheaper = {"above_input_tokens": 1, "rates": rates}
    body = {**msgspec.to_builtins(BOOK), "tiers": {"tiered": [cheaper]}}

    with pytest.raises(msgspec.ValidationError, match=f"cheaper {name} above 1 "):
        msgspec.json.decode(msgspec.json.encode(body), type=PriceBook)


@pytest.mark.parametrize(
    ("tiers", "why"),
    [
        ({"tiered": (ABOVE_200K, ABOVE_200K)}, "do not ascend"),
        ({"tiered": (ABOVE_200K, Tier(above_input_tokens=1, rates=DEFAULT))}, "do not ascend"),
        ({"tiered": ()}, "leave it out"),
        ({"new": (ABOVE_200K,)}, "add it to `models`"),
    ],
)
def test_tiers_without_order_or_base_are_refused(tiers: dict[str, tuple[Tier, ...]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PriceBook(version="b", models={"tiered": LOW}, default=LOW, tiers=tiers)


def test_each_tier_is_compared_with_the_one_below_and_not_with_the_base() -> None:
    between = msgspec.structs.replace(HIGH, input=HIGH.input - 1)

    with pytest.raises(ValueError, match="cheaper input above 300000 "):
        msgspec.structs.replace(
            BOOK, tiers={"tiered": (ABOVE_200K, Tier(above_input_tokens=300_000, rates=between))}
        )


@briefly
@given(lawful_runs(), tiered_books(), st.data())
def test_no_event_of_a_lawful_run_makes_it_cheaper(
    events: Pairs, book: PriceBook, data: st.DataObject
) -> None:
    state: RunState | None = None
    charged = 0
    for event, skewed in data.draw(st.permutations(events)):
        state = merge(state, event, skewed=skewed)
        micro = cost(state, book).micro
        assert micro >= charged
        charged = micro


# Worst case and its inverse


@briefly
@given(growing_call("c"), tiered_books(), tokens, tokens)
def test_worst_case_covers_any_lawful_call_up_to_that_size(
    counts: list, book: PriceBook, more_in: int, more_out: int
) -> None:
    last = counts[-1]
    tokens_in = last.input_uncached + last.cache_read + last.cache_write
    charged = cost(merge(None, last), book).micro

    assert worst_case(book, last.model, tokens_in, last.output) >= charged
    assert worst_case(book, last.model, tokens_in + more_in, last.output + more_out) >= charged


@briefly
@given(tiered_books(), st.sampled_from(MODELS), tokens, tokens, st.data())
def test_worst_case_does_not_depend_on_what_the_cache_will_hold(
    book: PriceBook, model: str, tokens_in: int, tokens_out: int, data: st.DataObject
) -> None:
    read = data.draw(st.integers(0, tokens_in))
    written = data.draw(st.integers(0, tokens_in - read))
    reasoning = data.draw(st.integers(0, tokens_out))
    counts = (tokens_in - read - written, read, written, tokens_out, reasoning)
    call = token("c", 0, model=model, **dict(zip(BUCKETS, counts, strict=True)))

    assert worst_case(book, model, tokens_in, tokens_out) >= cost(merge(None, call), book).micro


@briefly
@given(tiered_books(), st.sampled_from(MODELS), tokens, tokens)
def test_worst_case_is_reached_by_some_call(
    book: PriceBook, model: str, tokens_in: int, tokens_out: int
) -> None:
    assume(tokens_in or tokens_out)
    calls = [
        token("c", 0, model=model, output=tokens_out, reasoning=tokens_out, **{bucket: tokens_in})
        for bucket in ("input_uncached", "cache_read", "cache_write")
    ]

    dearest = max(cost(merge(None, call), book).micro for call in calls)

    assert worst_case(book, model, tokens_in, tokens_out) == dearest


def fits(book: PriceBook, model: str, tokens_in: int, tokens_out: int, budget: int) -> bool:
    return worst_case(book, model, tokens_in, tokens_out) <= budget


@briefly
@given(tiered_books(), st.sampled_from(MODELS), tokens, st.integers(-10, 10**15))
@example(NO_FEE, "free", 5, 0)
@example(NO_FEE, "free", 5, -1)
@example(BOOK, "tiered", 200_001, 400_101)
def test_the_affordable_output_is_the_largest_that_fits(
    book: PriceBook, model: str, tokens_in: int, budget: int
) -> None:
    found = affordable_output(book, model, tokens_in, budget)

    if found == -1:
        assert not fits(book, model, tokens_in, 0, budget)
    else:
        assert fits(book, model, tokens_in, found, budget)
        assert found == MAX_OUTPUT_TOKENS or not fits(book, model, tokens_in, found + 1, budget)


@briefly
@given(tiered_books(), st.sampled_from(MODELS), tokens, tokens)
def test_the_budget_of_a_worst_case_pays_that_case_again(
    book: PriceBook, model: str, tokens_in: int, tokens_out: int
) -> None:
    hold = worst_case(book, model, tokens_in, tokens_out)
    found = affordable_output(book, model, tokens_in, hold)

    assert found >= tokens_out
    assert worst_case(book, model, tokens_in, found) == hold or found == MAX_OUTPUT_TOKENS


def test_a_budget_for_the_input_alone_affords_no_output_and_one_less_not_even_that() -> None:
    # 10 tokens into the cache at 2 each, and the fee.
    assert affordable_output(BOOK, "tiered", 10, 119) == -1
    assert affordable_output(BOOK, "tiered", 10, 120) == 0
    assert affordable_output(BOOK, "tiered", 10, 125) == 1


def test_a_model_with_free_output_affords_as_much_as_an_event_may_report() -> None:
    assert affordable_output(BOOK, "free", 10, 100) == MAX_OUTPUT_TOKENS
    assert affordable_output(BOOK, "free", 10, 99) == -1


# Lines


@briefly
@given(lawful_runs() | wild_runs, tiered_books())
def test_the_lines_of_a_run_add_up_to_its_cost(events: Pairs, book: PriceBook) -> None:
    state = fold(None, events)
    charge = cost(state, book)
    found = lines(state, book)

    assert sum(line.amount_micro for line in found) == charge.micro
    assert any(line.unpriced for line in found) == charge.unpriced
    assert {line.reference for line in found if line.kind == "call"} == state.calls.keys()
    assert {line.reference for line in found if line.kind == "tool"} == state.tools.keys()


@briefly
@given(wild_runs, tiered_books(), st.data())
def test_no_order_of_events_changes_the_lines(events: Pairs, book: PriceBook, data: st.DataObject) -> None:
    assert lines(fold(None, events), book) == lines(fold(None, data.draw(st.permutations(events))), book)


def test_a_run_is_explained_line_by_line() -> None:
    state = fold(
        None,
        [
            (tool("t", tool="search"), False),
            (token("b", 0, model="tiered", input_uncached=150_000, cache_read=100_000, output=10), False),
            (token("a", 0, model="new", output=8, reasoning=3), False),
        ],
    )

    assert lines(state, BOOK) == (
        PriceLine(
            kind="call",
            reference="a",
            name="new",
            output=8,
            reasoning=3,
            rates=DEFAULT,
            unpriced=True,
            amount_micro=72,
        ),
        PriceLine(
            kind="call",
            reference="b",
            name="tiered",
            input_uncached=150_000,
            cache_read=100_000,
            output=10,
            above_input_tokens=200_000,
            rates=HIGH,
            amount_micro=150_000 * 2 + 100_000 // 5 + 10 * 6,
        ),
        PriceLine(kind="tool", reference="t", name="search", amount_micro=77),
        PriceLine(kind="run_fee", amount_micro=100),
    )


def test_a_run_that_used_nothing_has_no_lines() -> None:
    assert lines(fold(None, [(run("started"), False), (run("failed"), False)]), BOOK) == ()


def test_a_book_without_a_fee_has_no_line_for_it() -> None:
    assert [line.kind for line in lines(merge(None, tool("t")), NO_FEE)] == ["tool"]
