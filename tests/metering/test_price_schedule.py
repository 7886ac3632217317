from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_strategies import briefly, price_books, rates, token

from metering.price_schedule import (
    MAX_ENTRIES,
    BookOverrides,
    Entry,
    PriceSchedule,
    add,
    build,
    version_at,
    withdraw,
)
from metering.prices import PriceBook, Rates, Tier, cost, tier_of, worst_case
from metering.runs import merge

NOW = 1_750_000_000_000


def flat(micro: int) -> Rates:
    return Rates(input=micro, cache_read=micro, cache_write=micro, output=micro, reasoning=micro)


BASE = PriceBook(
    version="list-1",
    models={"gpt-4o": flat(1_000), "gpt-4o-mini": flat(100), "claude-3": flat(2_000), "free": flat(0)},
    tiers={"claude-3": (Tier(above_input_tokens=200_000, rates=flat(4_000)),)},
    default=flat(5_000),
    per_run=7,
    per_tool_call=10,
    tools={"search": 77},
)


def at(moment: int, version: str = "v") -> Entry:
    return Entry(effective_from_ms=moment, version=version)


def schedule(*moments: int) -> PriceSchedule:
    return PriceSchedule(tuple(at(moment, f"v{moment}") for moment in moments))


def built(**overrides: Any) -> PriceBook:
    return build(BASE, BookOverrides(name="acme", **overrides))


# Schedule

moments = st.integers(0, 200)


@briefly
@given(st.sets(moments, max_size=20), moments)
def test_the_latest_entry_that_has_begun_holds(starts: set[int], now: int) -> None:
    begun = [start for start in starts if start <= now]

    assert version_at(schedule(*sorted(starts)), now) == (f"v{max(begun)}" if begun else None)


@briefly
@given(st.lists(st.tuples(moments, moments), max_size=30))
def test_no_entry_changes_what_held_before_now(tries: list[tuple[int, int]]) -> None:
    known = PriceSchedule()
    for now, start in tries:
        before = [version_at(known, moment) for moment in range(now)]
        try:
            known = add(known, at(start, f"v{len(known.entries)}"), now)
        except ValueError:
            continue
        assert [version_at(known, moment) for moment in range(now)] == before
        assert [e.effective_from_ms for e in known.entries] == sorted(
            {e.effective_from_ms for e in known.entries}
        )


def test_prices_may_change_from_now_on_and_not_a_moment_earlier() -> None:
    assert version_at(add(PriceSchedule(), at(NOW, "new"), NOW), NOW) == "new"
    with pytest.raises(ValueError, match=f"at or after {NOW}"):
        add(PriceSchedule(), at(NOW - 1), NOW)


def test_an_entry_may_come_before_one_that_is_planned_already() -> None:
    assert add(schedule(10, 30), at(20, "v20"), 15) == schedule(10, 20, 30)


def test_two_changes_at_one_moment_are_refused() -> None:
    with pytest.raises(ValueError, match="another moment"):
        add(schedule(10), at(10), 5)


def test_a_full_schedule_forgets_its_oldest_entry() -> None:
    full = schedule(*range(MAX_ENTRIES))

    longer = add(full, at(500), 100)

    assert len(longer.entries) == MAX_ENTRIES
    assert (version_at(longer, 0), version_at(longer, 1), version_at(longer, 500)) == (None, "v1", "v")


@pytest.mark.parametrize("now", [-1, 0])
def test_a_full_schedule_never_forgets_what_holds_or_is_to_come(now: int) -> None:
    with pytest.raises(ValueError, match="withdraw one"):
        add(schedule(*range(MAX_ENTRIES)), at(500), now)


def test_an_entry_to_come_can_be_withdrawn() -> None:
    assert withdraw(schedule(10, 20, 30), 20, 15) == schedule(10, 30)


@pytest.mark.parametrize(("moment", "why"), [(10, "that hold"), (15, "that hold"), (21, "read the schedule")])
def test_what_holds_or_is_not_there_cannot_be_withdrawn(moment: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        withdraw(schedule(10, 20), moment, 15)


@pytest.mark.parametrize("entry", [at(NOW, ""), at(NOW, "v" * 129), at(4_102_444_800_001)])
def test_an_entry_that_its_readers_would_refuse_is_refused_where_it_is_made(entry: Entry) -> None:
    with pytest.raises(ValueError, match="Expected"):
        add(PriceSchedule(), entry, NOW)


def test_a_schedule_reads_back_as_it_was_written_and_only_in_order() -> None:
    written = msgspec.json.encode(schedule(1, 2))

    assert msgspec.json.decode(written, type=PriceSchedule) == schedule(1, 2)
    with pytest.raises(msgspec.ValidationError, match="do not ascend"):
        msgspec.json.decode(written.replace(b":2", b":1"), type=PriceSchedule)


# Book


def test_without_overrides_a_book_costs_what_its_base_costs() -> None:
    assert msgspec.structs.replace(built(), version=BASE.version) == BASE


def test_the_version_is_a_readable_name_and_a_digest_of_the_prices() -> None:
    assert built().version.startswith("acme-")
    assert built() == built()
    assert built().version != built(mark_up_permille=1).version
    assert (
        built().version
        == build(msgspec.structs.replace(BASE, version="other"), BookOverrides(name="acme")).version
    )


def test_a_mark_up_raises_every_rate_tier_and_the_unknown_model_rounded_up() -> None:
    book = built(mark_up_permille=125)

    assert book.models["gpt-4o"] == flat(1_125)
    assert book.models["gpt-4o-mini"] == flat(113)
    assert book.tiers["claude-3"][0].rates == flat(4_500)
    assert book.default == flat(5_625)
    assert book.models["free"] == flat(0)


def test_a_mark_up_leaves_the_fees() -> None:
    book = built(mark_up_permille=1_000)

    assert (book.per_run, book.per_tool_call, book.tools) == (7, 10, {"search": 77})


def test_the_most_exact_mark_up_wins_and_does_not_add_up() -> None:
    marks = {"gpt*": 100, "gpt-4o*": 200, "gpt-4o": 0}
    book = built(mark_up_permille=500, mark_ups_permille=marks)

    assert book.models["gpt-4o"] == flat(1_000)
    assert book.models["gpt-4o-mini"] == flat(120)
    assert book.models["claude-3"] == flat(3_000)


@pytest.mark.parametrize("idle", ["gpt-4", "gtp*"])
def test_a_misspelt_mark_up_is_refused(idle: str) -> None:
    with pytest.raises(ValueError, match="no model of 'list-1'"):
        built(mark_ups_permille={idle: 100})


@pytest.mark.parametrize("pattern", ["*", "g*t", "", "gpt**"])
def test_a_star_stands_only_at_the_end_of_a_prefix(pattern: str) -> None:
    with pytest.raises(ValueError, match="regex"):
        built(mark_ups_permille={pattern: 100})


def test_absolute_rates_are_not_marked_up_and_replace_the_tiers() -> None:
    book = built(
        mark_up_permille=500, mark_ups_permille={"cl*": 100}, models={"claude-3": flat(3), "own": flat(4)}
    )

    assert (book.models["claude-3"], book.models["own"]) == (flat(3), flat(4))
    assert book.tiers == {}


def test_absolute_rates_may_have_tiers_of_their_own() -> None:
    tier = Tier(above_input_tokens=10, rates=flat(9))

    assert tier_of(built(models={"own": flat(4)}, tiers={"own": (tier,)}), "own", 11) == tier


def test_fees_and_the_price_of_unknown_models_are_replaced() -> None:
    book = built(mark_up_permille=500, default=flat(1), per_run=0, per_tool_call=3, tools={"mail": 5})

    assert (book.default, book.per_run, book.per_tool_call) == (flat(1), 0, 3)
    assert book.tools == {"search": 77, "mail": 5}


def test_an_unknown_model_pays_the_overridden_default_and_is_flagged() -> None:
    charge = cost(
        merge(None, token("c", 0, model="new", output=1_000_000)), built(default=flat(42), per_run=0)
    )

    assert (charge.micro, charge.unpriced) == (42, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mark_up_permille": -1},
        {"mark_up_permille": 10_001},
        {"mark_ups_permille": {"gpt-4o": -1}},
        {"models": {"gpt-4o": flat(-1)}},
        {"models": {"gpt-4o": flat(100_000_000_001)}},
        {"models": {"": flat(1)}},
        {"default": flat(-1)},
        {"per_run": -1},
        {"per_tool_call": 1_000_000_001},
        {"tools": {"search": -1}},
        {"name": "Acme Ltd"},
        {"name": ""},
    ],
)
def test_what_is_out_of_bounds_is_refused_naming_the_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"\$\.{next(iter(wrong))}|key"):
        build(BASE, BookOverrides(**{"name": "acme", **wrong}))


def test_a_mark_up_beyond_the_cap_of_a_rate_is_refused() -> None:
    base = msgspec.structs.replace(BASE, models={**BASE.models, "gpt-4o": flat(100_000_000_000)})

    with pytest.raises(ValueError, match=r"models\[\.\.\.\]\.input"):
        build(base, BookOverrides(name="acme", mark_up_permille=1))


def test_tiers_without_rates_and_rates_with_a_mark_up_are_refused() -> None:
    with pytest.raises(ValueError, match="add it to `models`"):
        BookOverrides(name="acme", tiers=BASE.tiers)
    with pytest.raises(ValueError, match="cheaper input"):
        BookOverrides(name="acme", models={"claude-3": flat(4_001)}, tiers=BASE.tiers)
    with pytest.raises(ValueError, match="drop one"):
        BookOverrides(name="acme", models={"gpt-4o": flat(1)}, mark_ups_permille={"gpt-4o": 1})


def test_a_misspelt_override_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="markup"):
        msgspec.json.decode(b'{"name": "acme", "markup": 100}', type=BookOverrides)


def test_building_leaves_the_base_and_the_overrides_as_they_were() -> None:
    base, overrides = msgspec.to_builtins(BASE), BookOverrides(name="acme", models={"own": flat(1)})
    book = build(BASE, overrides)
    book.models.clear()
    book.tools.clear()

    assert msgspec.to_builtins(BASE) == base
    assert overrides.models.keys() == {"own"}


permille = st.integers(0, 10_000)
#: Those of `rates` that are within the cap, reasoning included.
lawful_rates = rates().filter(lambda drawn: drawn.reasoning <= 100_000_000_000)


@st.composite
def some_overrides(draw: st.DrawFn) -> BookOverrides:
    return BookOverrides(
        name="acme",
        mark_up_permille=draw(permille),
        mark_ups_permille=draw(st.dictionaries(st.sampled_from(("ch*", "cheap", "d*")), permille)),
        models=draw(st.dictionaries(st.sampled_from(("dear", "own")), lawful_rates)),
        default=draw(st.none() | lawful_rates),
        per_run=draw(st.none() | st.integers(0, 1_000_000_000)),
    )


def thinned(book: PriceBook) -> PriceBook:
    """Return a book a mark-up of ten times cannot take over the cap, with a tier on what is cheap."""
    thin = {name: flat(known.reasoning // 100) for name, known in book.models.items()}
    tier = Tier(above_input_tokens=1_000, rates=flat(2 * thin["cheap"].input + 1))
    return msgspec.structs.replace(
        book, models=thin, tiers={"cheap": (tier,)}, default=flat(book.default.output // 100)
    )


@briefly
@given(price_books().map(thinned), some_overrides())
def test_every_built_book_passes_the_checks_of_its_readers(base: PriceBook, overrides: BookOverrides) -> None:
    book = build(base, overrides)

    assert msgspec.json.decode(msgspec.json.encode(book), type=PriceBook) == book
    assert book.models.keys() == base.models.keys() | overrides.models.keys()


@briefly
@given(price_books().map(thinned), permille, st.integers(0, 1_000))
def test_a_larger_mark_up_never_makes_a_call_cheaper(base: PriceBook, share: int, more: int) -> None:
    low = build(base, BookOverrides(name="acme", mark_up_permille=share))
    high = build(base, BookOverrides(name="acme", mark_up_permille=min(share + more, 10_000)))

    for model in ("cheap", "dear", "unheard-of"):
        for tokens_in in (1_000, 1_001):
            assert worst_case(high, model, tokens_in, 50) >= worst_case(low, model, tokens_in, 50)
            assert worst_case(low, model, tokens_in, 50) >= worst_case(base, model, tokens_in, 50)
