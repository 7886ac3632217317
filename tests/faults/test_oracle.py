"""The judge goes red: each way in which outputs can be wrong is reported, and lawful outputs are not."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable

import pytest
from oracle import RAW_TABLES, Letter, Outputs, Told, judge

RATES = {"input": 1_000_000, "cache_read": 500_000, "cache_write": 1_250_000, "output": 4_000_000}
BOOK = {"models": {}, "default": {**RATES, "reasoning": 5_000_000}, "per_tool_call": 7, "per_run": 3}
#: 100 in at 1, 20 out at 4 and 10 reasoning at 5 micro-credits, one tool call at 7, the fee of 3.
COSTS = 100 + 20 * 4 + 10 * 5 + 7 + 3
GRANTED = 10_000


def events(run_id: str) -> list[tuple[str, dict[str, object]]]:
    whose = {"org_id": "o", "instance_id": "i", "run_id": run_id, "price_version": "b"}
    call = {"call_id": f"{run_id}-1", "model": "m", "input_uncached": 100, "reasoning": 10}
    return [
        ("usage.runs", {**whose, "status": "started", "occurred_at_ms": 1}),
        ("usage.tokens", {**whose, **call, "seq": 1, "output": 99}),
        ("usage.tokens", {**whose, **call, "seq": 2, "output": 30, "final": True}),
        # Late, and of no effect: the final report has been heard.
        ("usage.tokens", {**whose, **call, "seq": 9, "output": 80}),
        ("usage.tool_calls", {**whose, "tool_call_id": f"{run_id}-t", "tool": "calculator"}),
        ("usage.runs", {**whose, "status": "completed", "occurred_at_ms": 2}),
        ("usage.runs", {**whose, "status": "lost", "occurred_at_ms": 3}),
    ]


def lawful(runs: int = 3) -> Outputs:
    outputs, offsets = Outputs(books={"b": BOOK}), Counter[str]()
    figures = {"tokens_in": 100, "tokens_out": 30, "tool_calls": 1}
    grant = {"org_id": "o", "grant_id": "g", "amount_micro": GRANTED}
    published = [("credits.grants", grant), ("credits.grants", grant)]
    for number in range(runs):
        run_id = f"r{number}"
        published += events(run_id)
        outputs.told[run_id] = Told(run_id, "completed", "", **figures, charged=COSTS)
        outputs.runs.append({"run_id": run_id, "status": "completed", **figures, "charged_micro": COSTS})
        entry = {"org_id": "o", "kind": "usage", "reference_id": run_id, "amount_micro": -COSTS}
        outputs.ledger.append(entry)
    outputs.ledger.append({"org_id": "o", "kind": "grant", "reference_id": "g", "amount_micro": GRANTED})
    for topic, event in published:
        outputs.log[topic, 0, offsets[topic]] = event
        offsets[topic] += 1
    for topic, table in RAW_TABLES.items():
        outputs.stored[table] = Counter(at for at in outputs.log if at[0] == topic)
    charged = runs * COSTS
    outputs.wallets["o"] = {"granted": GRANTED, "charged": charged, "balance": GRANTED - charged, "held": 0}
    outputs.counters["i"] = {"runs": runs, "charged": charged, **{k: v * runs for k, v in figures.items()}}
    outputs.planted = {("usage.tokens", 5, 0)}
    outputs.letters = [Letter(("usage.tokens", 5, 0), worker, "undecodable") for worker in ("m", "w")]
    return outputs


def test_lawful_outputs_are_not_reported() -> None:
    assert judge(lawful()) == []


def charge(outputs: Outputs, micro: int) -> None:
    outputs.wallets["o"]["charged"] += micro
    outputs.wallets["o"]["balance"] -= micro


def double_a_run(outputs: Outputs) -> None:
    outputs.runs.append(copy.copy(outputs.runs[0]))


def double_a_charge(outputs: Outputs) -> None:
    charge(outputs, COSTS)


def double_a_raw_row(outputs: Outputs) -> None:
    outputs.stored["token_events"]["usage.tokens", 0, 1] += 1


def double_a_ledger_entry(outputs: Outputs) -> None:
    outputs.ledger.append(copy.copy(outputs.ledger[0]))


def lose_a_run(outputs: Outputs) -> None:
    outputs.runs.pop()


def lose_its_events(outputs: Outputs) -> None:
    outputs.log = {at: e for at, e in outputs.log.items() if e.get("run_id") != "r1"}


def lose_a_raw_row(outputs: Outputs) -> None:
    del outputs.stored["run_events"]["usage.runs", 0, 0]


def lose_a_letter(outputs: Outputs) -> None:
    outputs.letters.clear()


def lose_a_grant(outputs: Outputs) -> None:
    outputs.wallets["o"]["granted"] = outputs.wallets["o"]["balance"] = 0


def one_micro_credit_less(outputs: Outputs) -> None:
    charge(outputs, -1)


def one_micro_credit_more(outputs: Outputs) -> None:
    outputs.runs[0]["charged_micro"] += 1


def one_micro_credit_in_the_balance(outputs: Outputs) -> None:
    outputs.wallets["o"]["balance"] += 1


def one_token_told_otherwise(outputs: Outputs) -> None:
    outputs.runs[0]["tokens_out"] += 1


def one_run_counted_twice(outputs: Outputs) -> None:
    outputs.counters["i"]["runs"] += 1


def leave_a_hold(outputs: Outputs) -> None:
    outputs.wallets["o"]["held"] = 5


def leave_a_lease(outputs: Outputs) -> None:
    outputs.leftovers["leases"] = 1


def never_end_a_run(outputs: Outputs) -> None:
    for at in [at for at, e in outputs.log.items() if e.get("status") in ("completed", "lost")]:
        del outputs.log[at]


def refuse_a_good_record(outputs: Outputs) -> None:
    outputs.letters.append(Letter(("usage.runs", 0, 0), "m", "invalid_event"))


def spend_more_than_there_is(outputs: Outputs) -> None:
    outputs.wallets["o"]["balance"] = -1


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (double_a_run, "doubled"),
        (double_a_charge, "doubled"),
        (double_a_raw_row, "doubled"),
        (double_a_ledger_entry, "doubled"),
        (one_micro_credit_more, "doubled"),
        (one_run_counted_twice, "doubled"),
        (lose_a_run, "lost"),
        (lose_its_events, "lost"),
        (lose_a_raw_row, "lost"),
        (lose_a_letter, "lost"),
        (lose_a_grant, "lost"),
        (one_micro_credit_less, "lost"),
        (one_micro_credit_in_the_balance, "other"),
        (one_token_told_otherwise, "other"),
        (leave_a_hold, "other"),
        (leave_a_lease, "other"),
        (never_end_a_run, "other"),
        (refuse_a_good_record, "other"),
        (spend_more_than_there_is, "overspent"),
    ],
)
def test_each_tampering_is_reported_as_what_it_is(tamper: Callable[[Outputs], None], kind: str) -> None:
    outputs = lawful()
    tamper(outputs)

    assert kind in {difference.kind for difference in judge(outputs)}


def test_a_tier_prices_the_whole_call() -> None:
    outputs = lawful()
    dear = {**BOOK["default"], "input": 2_000_000}  # type: ignore[dict-item]
    outputs.books["b"] = {**BOOK, "models": {"m": BOOK["default"]}}
    outputs.books["b"]["tiers"] = {"m": [{"above_input_tokens": 99, "rates": dear}]}

    assert any(d.of == "o" and f"cost {3 * (COSTS + 100)}" in d.what for d in judge(outputs))


def test_what_a_dead_runner_told_is_not_held_against_the_log() -> None:
    outputs = lawful()
    outputs.told["r0"] = Told("r0", "failed", "runner_lost", 0, 0, 0, 0)

    assert judge(outputs) == []
