from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.wallet import (
    KEPT_EMPTY,
    LAST_PRIORITY,
    RETURNED,
    Grant,
    Movement,
    Wallet,
    advance,
    balance,
    charge,
    charge_many,
    issue,
    next_due_ms,
    refund,
    schedule,
    void,
)

HOUR = 3_600_000
DAY = 24 * HOUR
MIDNIGHT = 20_000 * DAY
NOON = MIDNIGHT + 12 * HOUR
CREDIT = 1_000_000

briefly = settings(max_examples=40, deadline=None)


def plan(grant_id: str = "plan_monday", amount: int = 100 * CREDIT, **fields: object) -> Grant:
    """Return a day's allowance: burns first, gone at midnight."""
    return grant(
        grant_id, amount, **{"kind": "plan", "priority": 10, "expires_at_ms": MIDNIGHT + DAY, **fields}
    )


def pack(grant_id: str = "pack", amount: int = 500 * CREDIT, **fields: object) -> Grant:
    """Return credits somebody paid for: burn last, never expire."""
    return grant(grant_id, amount, **{"kind": "purchase", "priority": 30, "expires_at_ms": 0, **fields})


def grant(grant_id: str, amount: int, **fields: object) -> Grant:
    known = {"grant_id": grant_id, "amount_micro": amount, "effective_at_ms": MIDNIGHT}
    return Grant(**{**known, **fields})  # type: ignore[arg-type]


def wallet_of(*grants: Grant, at: int = MIDNIGHT) -> Wallet:
    wallet = Wallet()
    for given_one in grants:
        wallet, _ = issue(wallet, given_one, at)
    return wallet


def remaining(wallet: Wallet) -> dict[str, int]:
    return {bucket.bucket_id: bucket.remaining_micro for bucket in wallet.buckets}


def test_burns_by_priority_then_expiry_then_age_then_id() -> None:
    late = MIDNIGHT + 9 * DAY
    grants = [
        pack("p20_forever", 1),
        pack("p20_late_young", 1, priority=20, expires_at_ms=late),
        pack("p20_late_old_b", 1, priority=20, expires_at_ms=late, effective_at_ms=MIDNIGHT - 1),
        pack("p20_late_old_a", 1, priority=20, expires_at_ms=late, effective_at_ms=MIDNIGHT - 1),
        pack("p20_soon", 1, priority=20, expires_at_ms=MIDNIGHT + DAY),
        pack("p10_forever", 1, priority=10),
    ]

    _, movements = charge(wallet_of(*grants), 6, NOON)

    assert [movement.bucket_id for movement in movements] == [
        "p10_forever",
        "p20_soon",
        "p20_late_old_a",
        "p20_late_old_b",
        "p20_late_young",
        "p20_forever",
    ]


def test_a_daily_allowance_resets_beside_a_paid_pack() -> None:
    monday = wallet_of(plan("plan_monday"), pack())
    spent, _ = charge(monday, 130 * CREDIT, NOON)
    assert remaining(spent) == {"plan_monday": 0, "pack": 470 * CREDIT}

    tuesday, movements = issue(
        spent,
        plan("plan_tuesday", effective_at_ms=MIDNIGHT + DAY, expires_at_ms=MIDNIGHT + 2 * DAY),
        MIDNIGHT + DAY,
    )

    assert remaining(tuesday) == {"plan_tuesday": 100 * CREDIT, "pack": 470 * CREDIT}
    assert movements == (Movement("grant", "plan_tuesday", 100 * CREDIT),)


@briefly
@given(
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.lists(st.integers(-(10**8), 10**9), max_size=6),
    st.sampled_from([(0, 0), (10**6, DAY)]),
)
def test_an_allowances_expiry_never_touches_a_pack(
    allowance: int, bought: int, amounts: list[int], rollover: tuple[int, int]
) -> None:
    cap, lasts = rollover
    wallet = wallet_of(plan(amount=allowance, rollover_cap_micro=cap, rollover_ms=lasts), pack(amount=bought))
    wallet, _ = charge_many(wallet, amounts, NOON)

    later, movements = advance(wallet, MIDNIGHT + 9 * DAY)

    assert remaining(later).get("pack") == remaining(wallet).get("pack")
    assert {movement.bucket_id for movement in movements} <= {"plan_monday", "plan_monday~1"}


def test_what_is_left_rolls_over_up_to_the_cap_and_only_once() -> None:
    wallet = wallet_of(plan(rollover_cap_micro=30 * CREDIT, rollover_ms=DAY, amount=100 * CREDIT))

    tuesday, at_midnight = advance(wallet, MIDNIGHT + DAY)
    wednesday, a_day_later = advance(tuesday, MIDNIGHT + 2 * DAY)

    assert at_midnight == (
        Movement("rollover", "plan_monday", -30 * CREDIT),
        Movement("rollover", "plan_monday~1", 30 * CREDIT),
        Movement("expiry", "plan_monday", -70 * CREDIT),
    )
    assert a_day_later == (Movement("expiry", "plan_monday~1", -30 * CREDIT),)
    assert wednesday.buckets == ()
    assert wednesday.expired_micro == 100 * CREDIT
    assert advance(wallet, MIDNIGHT + 2 * DAY) == (wednesday, at_midnight + a_day_later)


def test_less_than_the_cap_rolls_over_whole() -> None:
    wallet = wallet_of(plan(rollover_cap_micro=30 * CREDIT, rollover_ms=DAY))
    wallet, _ = charge(wallet, 80 * CREDIT, NOON)

    tuesday, _ = advance(wallet, MIDNIGHT + DAY)

    assert remaining(tuesday) == {"plan_monday~1": 20 * CREDIT}
    assert tuesday.expired_micro == 0


def test_a_spent_purchase_that_is_paid_back_becomes_debt() -> None:
    wallet, _ = charge(wallet_of(pack(amount=500)), 400, NOON)

    refunded, movements = refund(wallet, "pack", 500, NOON)

    assert movements == (Movement("refund", "pack", -100), Movement("refund", "", -400))
    assert balance(refunded, NOON) == -400
    # What was paid back cannot be refilled by a later correction of what had burnt it.
    corrected, _ = charge(refunded, -400, NOON)
    assert (corrected.debt_micro, remaining(corrected)) == (0, {})


def test_a_clawback_takes_other_credits_before_it_makes_debt() -> None:
    wallet = wallet_of(pack("first", 500), pack("second", 300))
    wallet, _ = charge(wallet, 500, NOON)

    _, movements = refund(wallet, "first", 500, NOON)

    assert movements == (Movement("refund", "second", -300), Movement("refund", "", -200))


@pytest.mark.parametrize("end", ["voided", "expired"])
def test_what_was_gone_already_is_not_taken_again_by_a_refund(end: str) -> None:
    given = pack(amount=500, expires_at_ms=MIDNIGHT + DAY if end == "expired" else 0)
    wallet, _ = charge(wallet_of(given, pack("rest", 900)), 200, NOON)
    if end == "voided":
        wallet, _ = void(wallet, "pack", NOON)

    half, _ = refund(wallet, "pack", 250, MIDNIGHT + 2 * DAY)
    whole, movements = refund(half, "pack", 250, MIDNIGHT + 2 * DAY)
    assert movements == (Movement("refund", "rest", -200),)  # what had been spent of it
    assert (whole.refunded_micro, balance(whole, NOON + 2 * DAY)) == (200, 700)


def test_a_partial_refund_leaves_the_rest_of_the_pack() -> None:
    refunded, _ = refund(wallet_of(pack(amount=500)), "pack", 200, NOON)

    assert [(bucket.granted_micro, bucket.remaining_micro) for bucket in refunded.buckets] == [(300, 300)]
    assert refunded.refunded_micro == 200


def test_a_charge_lowered_before_midnight_refills_what_paid_it_last_first() -> None:
    wallet, _ = charge(wallet_of(plan(amount=100), pack(amount=500)), 150, NOON)

    _, movements = charge(wallet, -70, NOON)

    assert movements == (Movement("adjustment", "pack", 50), Movement("adjustment", "plan_monday", 20))


def test_a_charge_lowered_after_its_bucket_expired_is_returned_for_ever() -> None:
    wallet, _ = charge(wallet_of(plan(amount=100)), 60, NOON)

    lowered, movements = charge(wallet, -25, MIDNIGHT + DAY)

    assert movements == (Movement("expiry", "plan_monday", -40), Movement("adjustment", RETURNED, 25))
    (bucket,) = lowered.buckets
    assert (bucket.kind, bucket.expires_at_ms, bucket.priority) == ("correction", 0, LAST_PRIORITY)
    assert lowered.charged_micro == 35
    assert balance(lowered, MIDNIGHT + 9_999 * DAY) == 25


def test_returned_credits_gather_in_one_bucket_and_burn_after_a_pack() -> None:
    wallet, _ = charge_many(wallet_of(pack(amount=10)), [-5, -6, 4, 8], NOON)

    assert remaining(wallet) == {"pack": 0, RETURNED: 9}


def test_a_promotion_waits_for_its_day() -> None:
    promotion = pack("promotion", 50, priority=0, effective_at_ms=MIDNIGHT + DAY)
    wallet = wallet_of(promotion, pack(amount=500))

    early, _ = charge(wallet, 10, MIDNIGHT + DAY - 1)
    late, _ = charge(early, 10, MIDNIGHT + DAY)

    assert remaining(early) == {"promotion": 50, "pack": 490}
    assert remaining(late) == {"promotion": 40, "pack": 490}
    assert schedule(wallet) == (500, ((MIDNIGHT + DAY, 50),))
    assert next_due_ms(wallet) == 0


def test_a_promotion_pays_debt_on_its_day_and_not_before() -> None:
    promotion = pack("promotion", 50, effective_at_ms=MIDNIGHT + DAY, expires_at_ms=MIDNIGHT + 2 * DAY)
    wallet, _ = charge(wallet_of(promotion), 20, NOON)
    assert balance(wallet, NOON) == -20
    assert next_due_ms(wallet) == MIDNIGHT + DAY
    assert schedule(wallet) == (-20, ((MIDNIGHT + DAY, 50), (MIDNIGHT + 2 * DAY, -30)))

    paid, movements = advance(wallet, MIDNIGHT + DAY)

    assert movements == (Movement("usage", "", 20), Movement("usage", "promotion", -20))
    assert balance(paid, MIDNIGHT + DAY) == 30


def test_a_top_up_after_a_soft_overrun_pays_the_debt_first() -> None:
    wallet, overrun = charge(wallet_of(plan(amount=100)), 130, NOON)
    assert overrun == (Movement("usage", "plan_monday", -100), Movement("usage", "", -30))

    topped_up, movements = issue(wallet, pack(amount=500), NOON)

    assert movements == (
        Movement("grant", "pack", 500),
        Movement("usage", "", 30),
        Movement("usage", "pack", -30),
    )
    assert (topped_up.debt_micro, balance(topped_up, NOON)) == (0, 470)
    assert topped_up.charged_micro == 130


def test_a_grant_that_comes_after_its_end_expires_at_once_and_pays_no_debt() -> None:
    wallet, _ = charge(Wallet(), 30, NOON)

    late, movements = issue(wallet, plan(amount=100), MIDNIGHT + 3 * DAY)

    assert movements == (Movement("grant", "plan_monday", 100), Movement("expiry", "plan_monday", -100))
    assert (late.debt_micro, late.buckets) == (30, ())


def test_a_grant_that_comes_after_its_end_may_still_live_on_as_what_rolled_over() -> None:
    allowance = plan(amount=100, rollover_cap_micro=30, rollover_ms=DAY)
    wallet, _ = charge(Wallet(), 10, NOON)

    in_time, _ = issue(wallet, allowance, MIDNIGHT + DAY + HOUR)
    too_late, _ = issue(wallet, allowance, MIDNIGHT + 2 * DAY)

    assert (remaining(in_time), in_time.debt_micro, in_time.expired_micro) == ({"plan_monday~1": 20}, 0, 70)
    assert (remaining(too_late), too_late.debt_micro, too_late.expired_micro) == ({}, 10, 100)


def test_a_repeated_grant_moves_nothing_even_when_it_rolled_over() -> None:
    allowance = plan(rollover_cap_micro=CREDIT, rollover_ms=DAY)
    wallet, _ = advance(wallet_of(allowance), MIDNIGHT + DAY)

    assert issue(wallet, allowance, MIDNIGHT + DAY) == (wallet, ())


def test_void_takes_what_is_left_and_what_rolled_over_but_not_what_was_spent() -> None:
    allowance = plan(amount=100, rollover_cap_micro=30, rollover_ms=DAY)
    wallet, _ = charge(wallet_of(allowance, pack(amount=500)), 40, NOON)

    voided, movements = void(wallet, "plan_monday", NOON)
    _, of_rolled = void(wallet, "plan_monday", MIDNIGHT + DAY)

    assert movements == (Movement("void", "plan_monday", -60),)
    assert (remaining(voided), voided.voided_micro) == ({"pack": 500}, 60)
    assert of_rolled[-1] == Movement("void", "plan_monday~1", -30)


def test_a_balance_ahead_counts_a_bucket_from_its_first_millisecond_to_before_its_last() -> None:
    wallet = wallet_of(plan(amount=100, effective_at_ms=NOON), pack(amount=500))

    ahead = [balance(wallet, at) for at in (NOON - 1, NOON, MIDNIGHT + DAY - 1, MIDNIGHT + DAY)]

    assert ahead == [500, 600, 600, 500]


def test_void_of_an_unknown_grant_moves_nothing() -> None:
    wallet = wallet_of(pack(), at=NOON)

    assert void(wallet, "nobody's", NOON) == (wallet, ())


def test_a_late_command_acts_now() -> None:
    wallet = wallet_of(plan(amount=100), pack(amount=500), at=MIDNIGHT + DAY)

    charged, _ = charge(wallet, 10, NOON)

    assert remaining(charged) == {"pack": 490}
    assert charged.as_of_ms == MIDNIGHT + DAY
    assert advance(wallet, NOON) == (wallet, ())


def test_few_empty_buckets_are_kept_the_last_to_burn() -> None:
    packs = [pack(f"pack_{number}", 1) for number in range(KEPT_EMPTY + 3)]

    wallet, _ = charge(wallet_of(*packs), len(packs), NOON)

    assert list(remaining(wallet)) == [one.grant_id for one in packs[-KEPT_EMPTY:]]


def test_a_batch_says_first_what_time_did_and_charges_nothing_when_empty() -> None:
    wallet = wallet_of(plan(amount=100), pack(amount=500))

    charged, batch = charge_many(wallet, [5, 0, 7], MIDNIGHT + DAY)

    assert batch == [
        (Movement("expiry", "plan_monday", -100), Movement("usage", "pack", -5)),
        (),
        (Movement("usage", "pack", -7),),
    ]
    assert charged.charged_micro == 12
    assert charge_many(wallet, [], MIDNIGHT + DAY) == (wallet, [])


def test_a_schedule_that_is_cut_promises_the_lowest_balance_to_come() -> None:
    days = [
        plan(
            f"plan_{day}",
            100,
            effective_at_ms=MIDNIGHT + day * DAY,
            expires_at_ms=MIDNIGHT + day * DAY + HOUR,
        )
        for day in range(1, 6)
    ]
    wallet = wallet_of(*days, pack(amount=7))

    now, changes = schedule(wallet, limit=3)

    assert now == 7
    assert changes == (
        (MIDNIGHT + DAY, 100),
        (MIDNIGHT + DAY + HOUR, -100),
        # 107 on day two, but 7 an hour later: only those are promised.
        (MIDNIGHT + 2 * DAY, 0),
    )


def test_a_wallet_survives_its_wire_form() -> None:
    wallet, _ = charge(wallet_of(plan(rollover_cap_micro=1, rollover_ms=DAY), pack()), 130 * CREDIT, NOON)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(wallet), type=Wallet) == wallet


@pytest.mark.parametrize(
    "fields",
    [
        {"grant_id": ""},
        {"grant_id": RETURNED},
        {"grant_id": "plan_monday~1"},
        {"amount_micro": 0},
        {"priority": -1},
        {"priority": LAST_PRIORITY},
        {"effective_at_ms": -1},
        {"expires_at_ms": MIDNIGHT},
        {"expires_at_ms": -1},
        {"rollover_cap_micro": -1},
        {"rollover_cap_micro": 1, "rollover_ms": 0},
        {"rollover_ms": -1},
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"grant|roll"):
        msgspec.structs.replace(plan(), **fields)


@pytest.mark.parametrize("amount", [0, -5])
def test_a_refund_of_nothing_is_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        refund(wallet_of(pack()), "pack", amount, NOON)


def test_a_schedule_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        schedule(Wallet(), limit=0)
