"""Ledger entries → billing records, without servers: what they sum to, and what repeats of the log change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ledger_entries import NOW_MS, entry

from schemas.billing import MEASURES, BillingRecord
from schemas.events import LedgerEntry
from streams.billing.records import Billed, billed, derive


def derived(log: list[LedgerEntry], first: int = 0, before: Billed | None = None) -> list[BillingRecord]:
    """Return the records of one run's log."""
    made: list[BillingRecord] = []
    for offset, one in enumerate(log):
        record = derive(before, one, first + offset, NOW_MS + 1_000 + offset)
        if record is not None:
            made.append(record)
            before = billed(record)
    return made


def test_a_run_that_goes_on_is_not_billed_and_a_closed_one_is_billed_whole() -> None:
    made = derived([entry("r", 1, "started", charged_micro=3), entry("r", 4, "completed")])

    assert [record.record_id for record in made] == ["r.1"]
    assert (made[0].charged_micro, made[0].charged_micro_change, made[0].runs_change) == (227, 227, 1)
    assert made[0].occurred_at_ms == NOW_MS


def test_a_corrected_run_gives_an_adjustment_that_counts_when_it_was_made() -> None:
    made = derived([entry("r", 4), entry("r", 5, charged_micro=0)])

    assert [record.record_id for record in made] == ["r.1", "r.2"]
    assert (made[1].charged_micro, made[1].charged_micro_change) == (0, -227)
    assert (made[1].runs, made[1].runs_change, made[1].tokens_in_change) == (1, 0, 0)
    assert made[1].occurred_at_ms == NOW_MS + 1_001


def test_a_lost_run_that_ended_after_all_is_told_with_its_real_ending() -> None:
    made = derived([entry("r", 3, "lost", tokens_out=10, charged_micro=90), entry("r", 6, "completed")])

    assert [(record.status, record.tokens_out_change) for record in made] == [("lost", 10), ("completed", 20)]


def test_grants_and_adjustment_entries_are_not_billed() -> None:
    grant = LedgerEntry(
        entry_id="g",
        kind="grant",
        tenant_id="acme",
        org_id="org-0",
        amount_micro=5,
        account="granted:purchase",
        occurred_at_ms=NOW_MS,
        reference_id="g",
    )
    assert derived([grant]) == []


versions = st.lists(
    st.tuples(st.integers(1, 8), st.integers(0, 500), st.sampled_from(["started", "lost", "completed"])),
    min_size=1,
    max_size=30,
)


@given(versions)
def test_changes_always_sum_to_the_latest_totals_and_no_id_comes_twice(
    log: list[tuple[int, int, str]],
) -> None:
    made = derived([entry("r", v, s, charged_micro=c, tokens_in=c * 2) for v, c, s in log])

    assert len({record.record_id for record in made}) == len(made)
    for name in MEASURES:
        total = sum(getattr(record, f"{name}_change") for record in made)
        assert total == (getattr(made[-1], name) if made else 0)


@given(versions, st.data())
def test_starting_again_anywhere_from_what_was_written_gives_the_same_records(
    log: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    entries = [entry("r", v, s, charged_micro=c) for v, c, s in log]
    whole = derived(entries)
    cut = data.draw(st.integers(0, len(whole)))
    written = whole[:cut]
    first = written[-1].ledger_offset + 1 if written else 0

    again = derived(entries[first:], first, billed(written[-1]) if written else None)

    assert [(r.record_id, r.charged_micro, r.charged_micro_change) for r in written + again] == (
        [(r.record_id, r.charged_micro, r.charged_micro_change) for r in whole]
    )


@given(st.lists(st.integers(1, 6), min_size=1, max_size=20))
def test_a_log_that_repeats_itself_ends_where_its_newest_fact_stands(repeats: list[int]) -> None:
    # What an outbox that went back in time writes: older facts again, and at last the newest one.
    facts = {version: entry("r", version, charged_micro=version * 10) for version in range(1, 8)}
    made = derived([facts[version] for version in (*repeats, 7)])

    assert sum(record.charged_micro_change for record in made) == 70
