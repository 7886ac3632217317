"""What a batch makes of a wallet, beyond its transitions: when the alerts' period begins."""

from __future__ import annotations

from metering.settling import Settled, StoredWallet, settle
from schemas.events import GrantEvent

NOON = 1_790_000_000_000
LATER = NOON + 3_600_000


def given(grant_id: str, amount: int, from_ms: int) -> GrantEvent:
    return GrantEvent(
        grant_id=grant_id,
        tenant_id="t",
        org_id="o",
        kind="plan",
        amount_micro=amount,
        occurred_at_ms=NOON,
        effective_at_ms=from_ms,
    )


def told(settled: Settled) -> list[tuple[int, int]]:
    return [(event.used_permille, event.limit_micro) for event in settled.limits]


def test_credits_for_later_begin_a_period_when_they_begin_and_not_before() -> None:
    today = settle("o", StoredWallet("t"), [given("today", 1_000, NOON)], 0, NOON)
    half = settle("o", today.stored, [], 600, NOON + 1)
    assert told(half) == [(500, 1_000)]

    ahead = settle("o", half.stored, [given("tomorrow", 2_000, LATER)], 0, NOON + 2)
    assert told(ahead) == []
    most = settle("o", ahead.stored, [], 250, NOON + 3)
    assert told(most) == [(800, 1_000)]

    begun = settle("o", most.stored, [], 0, LATER)
    assert (told(begun), begun.stored.period_credit_micro, begun.stored.told_permille) == ([], 2_150, 0)
    assert told(settle("o", begun.stored, [], 1_100, LATER + 1)) == [(500, 2_150)]
