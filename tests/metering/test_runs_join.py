from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_strategies import STARTED, Pairs, briefly, lawful_runs, run, token, wild_runs

from metering.runs import RunState, fold, join, merge, version_of

runs = st.one_of(lawful_runs(), wild_runs)


def copy(state: RunState) -> RunState:
    return RunState(state.identity, state.phase, dict(state.calls), dict(state.tools), state.skewed)


@briefly
@given(wild_runs, wild_runs)
def test_join_is_commutative(left: Pairs, right: Pairs) -> None:
    a, b = fold(None, left), fold(None, right)

    assert join(a, b) == join(b, a)


@briefly
@given(wild_runs, wild_runs, wild_runs)
def test_join_is_associative(first: Pairs, second: Pairs, third: Pairs) -> None:
    a, b, c = fold(None, first), fold(None, second), fold(None, third)

    assert join(join(a, b), c) == join(a, join(b, c))


@briefly
@given(wild_runs)
def test_join_is_idempotent(events: Pairs) -> None:
    state = fold(None, events)

    assert join(state, state) == state


@briefly
@given(runs, st.data())
def test_order_and_duplicates_do_not_change_where_a_run_ends_up(events: Pairs, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(events)))
    delivered = data.draw(st.permutations(events + again))

    assert fold(None, delivered) == fold(None, events)


@briefly
@given(runs)
def test_fold_is_the_join_of_single_event_states(events: Pairs) -> None:
    singles = [merge(None, event, skewed=skewed) for event, skewed in events]

    assert fold(None, events) == reduce(join, singles)


@briefly
@given(runs, st.data())
def test_where_the_log_is_cut_into_batches_does_not_matter(events: Pairs, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(events)))
    first, rest = events[:cut], events[cut:]

    state = fold(fold(None, first), rest)

    assert state == fold(None, events)
    assert not rest or state == join(fold(None, first), fold(None, rest))


@briefly
@given(runs, runs)
def test_fold_and_join_leave_their_arguments_as_they_were(events: Pairs, others: Pairs) -> None:
    state, other = fold(None, events), fold(None, others)
    before, other_before = copy(state), copy(other)

    fold(state, others)
    join(state, other)

    assert (state, other) == (before, other_before)


@briefly
@given(lawful_runs(), st.data())
def test_the_version_grows_with_every_event_that_adds_something(events: Pairs, data: st.DataObject) -> None:
    delivered = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)))))
    state: RunState | None = None
    for event, skewed in delivered:
        grown = merge(state, event, skewed=skewed)
        if state is not None:
            assert version_of(grown) >= version_of(state)
            assert (version_of(grown) > version_of(state)) == (grown != state)
        state = grown


@briefly
@given(lawful_runs(), st.data())
def test_equal_versions_of_subsets_in_a_chain_mean_equal_states(events: Pairs, data: st.DataObject) -> None:
    part = fold(None, data.draw(st.permutations(events))[: data.draw(st.integers(1, len(events)))])
    whole = fold(None, events)

    assert (version_of(part) == version_of(whole)) == (part == whole)


def test_a_final_count_outranks_a_later_interim_one_in_the_version_too() -> None:
    interim = merge(None, token("c", 10_000_000_000, output=9))
    final = merge(interim, token("c", 0, output=7, final=True))

    assert final.calls["c"].output == 7
    assert version_of(final) > version_of(interim)


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled", "limit_exceeded"])
@pytest.mark.parametrize("lost_first", [True, False])
def test_a_real_ending_beats_the_reapers_in_any_order(ending: str, lost_first: bool) -> None:
    lost, real = run("lost", occurred_at_ms=STARTED + 9_000), run(ending)
    events = [lost, real] if lost_first else [real, lost]

    state = fold(None, [(event, False) for event in events])

    assert state.closed
    assert state.status == ending


def test_a_run_that_only_started_is_open() -> None:
    assert not merge(None, run("started")).closed
    assert not merge(None, token("c", 0)).closed
    assert merge(None, token("c", 0)).status == "started"


def test_a_run_without_a_state_or_an_event_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        fold(None, [])
