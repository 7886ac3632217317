from __future__ import annotations

from functools import reduce
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from run_strategies import Pairs, briefly, lawful_runs, price_books, run, token, tool, wild_runs

from metering.prices import PriceBook, cost
from metering.runs import RunState, fold, merge, version_of
from metering.totals import CHARGED, COUNTERS, ZERO, Totals, difference, plus, snapshot_of, totals_of

vectors = st.tuples(*[st.integers(-(2**53), 2**53)] * len(COUNTERS))


def totals(state: RunState, book: PriceBook) -> Totals:
    return totals_of(state, cost(state, book).micro)


def applied(batches: list[Pairs], book: PriceBook) -> Totals:
    """Return what a worker adds to the counters over these batches: one difference for each."""
    state, before, sums = None, ZERO, ZERO
    for batch in batches:
        state = fold(state, batch)
        now = totals(state, book)
        sums, before = plus(sums, difference(now, before)), now
    return sums


@briefly
@given(st.one_of(lawful_runs(), wild_runs), price_books(), st.data())
def test_batches_cut_anywhere_charge_the_same(events: Pairs, book: PriceBook, data: st.DataObject) -> None:
    inner = data.draw(st.sets(st.integers(0, len(events)), max_size=5))
    cuts = sorted({0, len(events), *inner})
    batches = [events[a:b] for a, b in pairwise(cuts)]

    assert applied(batches, book) == totals(fold(None, events), book)


@briefly
@given(lawful_runs(), price_books(), st.data())
def test_redelivered_batches_charge_nothing_more(events: Pairs, book: PriceBook, data: st.DataObject) -> None:
    again = [[pair] for pair in data.draw(st.lists(st.sampled_from(events)))]

    assert applied([events, *again], book) == totals(fold(None, events), book)


@given(vectors, vectors, vectors)
def test_difference_and_plus_are_a_group(a: Totals, b: Totals, c: Totals) -> None:
    assert plus(a, b) == plus(b, a)
    assert plus(plus(a, b), c) == plus(a, plus(b, c))
    assert plus(a, ZERO) == a
    assert plus(difference(a, b), b) == a
    assert plus(difference(a, b), difference(b, c)) == difference(a, c)


@briefly
@given(lawful_runs(), price_books())
def test_the_counters_of_a_run_agree_with_each_other(events: Pairs, book: PriceBook) -> None:
    state = fold(None, events)
    named = dict(zip(COUNTERS, totals(state, book), strict=True))
    endings = ("completed", "failed", "cancelled", "limit_exceeded", "lost")

    assert named["started"] == 1
    assert named["runs"] == sum(named[status] for status in endings) == int(state.closed)
    assert named["tokens_in"] >= named["cache_read"] + named["cache_write"]
    assert named["reasoning"] <= named["tokens_out"]
    assert min(named.values()) >= 0


def test_the_vector_names_every_counter_once() -> None:
    assert len(set(COUNTERS)) == len(COUNTERS) == len(ZERO)
    assert totals_of(merge(None, run("started")), 42)[CHARGED] == 42


def test_the_snapshot_holds_what_the_run_came_to() -> None:
    events = [
        run("started"),
        token("a", 0, input_uncached=5, cache_read=20, cache_write=100, output=50, reasoning=30, final=True),
        token("b", 3, output=7, source="estimate"),
        tool("t"),
        run("failed", duration_ms=900, end_user="u", error_code="boom", streamed=True, model="dear"),
    ]
    state = reduce(merge, events, None)

    snapshot = snapshot_of(state, totals_of(state, 1_234), version_of(state), unpriced=True)

    expected = {
        "instance_id": "ins_1",
        "run_id": "run_1",
        "version": version_of(state),
        "status": "failed",
        "channel": "api",
        "key_id": "key_1",
        "model": "dear",
        "streamed": True,
        "end_user": "u",
        "error_code": "boom",
        "started_at_ms": events[0].started_at_ms,
        "closed_at_ms": events[-1].occurred_at_ms,
        "duration_ms": 900,
        "tokens_in": 125,
        "tokens_out": 57,
        "input_uncached": 5,
        "cache_read": 20,
        "cache_write": 100,
        "reasoning": 30,
        "model_calls": 2,
        "tool_calls": 1,
        "charged_micro": 1_234,
        "price_version": "list-1",
        "estimated": True,
        "unpriced": True,
        "skewed": False,
    }
    assert {name: getattr(snapshot, name) for name in snapshot.__struct_fields__} == expected


def test_the_snapshot_of_an_open_run_has_no_end() -> None:
    state = merge(None, token("a", 0, model="dear"), skewed=True)

    snapshot = snapshot_of(state, totals_of(state, 0), version_of(state), unpriced=False)

    assert (snapshot.status, snapshot.closed_at_ms, snapshot.model) == ("started", 0, "dear")
    assert (snapshot.skewed, snapshot.estimated) == (True, False)
