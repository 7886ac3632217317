"""Wallets, holds, corrections and limits: one metering worker and the relay, real Kafka and Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio
from credits_org import Org, now, read
from streams_rig import RATES, RUN_COSTS, Rig, run_events, running
from waiting import PATIENCE_S, eventually

from metering.prices import PriceBook
from metering.windows import start_of
from schemas import keys, topics
from schemas.directory import InstanceRecord, Limits, LimitState
from schemas.events import (
    CorrectionEvent,
    DeadLetter,
    LedgerEntry,
    LimitEvent,
    TokenEvent,
)

TRIM = (Path(__file__).parents[2] / "streams" / "relay" / "trim.lua").read_text()
METERING, RELAY = "streams.metering", "streams.relay"
DEAR = PriceBook(
    version="book-dear",
    models={"m": msgspec.structs.replace(RATES, output=8_000_000, reasoning=8_000_000)},
    default=RATES,
    per_tool_call=7,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rig(tmp_path_factory: Any) -> AsyncIterator[Rig]:
    async with running(tmp_path_factory.mktemp("credits")) as started:
        await started.redis.set(keys.price_book(DEAR.version), msgspec.json.encode(DEAR))
        started.start(METERING)
        started.start(RELAY, instance="relay")
        yield started


async def test_a_plan_burns_before_a_purchase_and_a_voided_grant_is_gone(rig: Rig) -> None:
    org = Org(rig, "burns")
    await org.command(grant="pack", amount_micro=10_000)
    await org.command(grant="plan", kind="plan", amount_micro=1_000, priority=10)
    # Another topic's records: a run that came first would burn what there is by then.
    await org.has("both are there", granted=11_000)
    await org.use("r1", 300)
    await org.has("the run is charged", granted=11_000, charged=1_300, balance=9_700)

    left = {b.bucket_id: b.remaining_micro for b in (await org.stored()).wallet.buckets}
    assert left == {"plan": 0, "pack": 9_700}

    await org.command("void", "pack", command_id="void-1")
    await org.command("void", "pack", command_id="void-1")
    await org.has("what was left is taken away, once", voided=9_700, balance=0)


async def test_a_refund_of_spent_credits_leaves_a_debt_that_the_next_grant_pays(rig: Rig) -> None:
    org = Org(rig, "refunds")
    await org.command(grant="order", amount_micro=1_000)
    await org.use("r1", 100)
    await org.has("the run is charged", charged=500, balance=500)
    await org.command("refund", "order", amount_micro=1_000, command_id="refund-1")
    await org.has("the refund took more than was left", refunded=1_000, balance=-500)
    await org.command(grant="again", amount_micro=2_000)
    await org.has("the debt is paid first", granted=3_000, balance=1_500)


async def test_credits_expire_though_nobody_uses_the_wallet_and_roll_over_up_to_their_cap(rig: Rig) -> None:
    later, soon = Org(rig, "expires-later"), Org(rig, "expires")
    for org, lasting_ms in ((later, 3_600_000), (soon, 1_000)):
        await org.command(
            grant="plan-1",
            kind="plan",
            amount_micro=1_000,
            expires_at_ms=now() + lasting_ms,
            rollover_cap_micro=300,
            rollover_ms=3_600_000,
        )
    await later.has("the plan is in", granted=1_000, balance=1_000)
    schedule = await rig.redis.hget(keys.wallet(later.partition, later.id), "schedule")
    assert [int(change.split(b":")[1]) for change in schedule.split(b";")] == [-700, -300]

    await soon.has("the rest expired", granted=1_000, expired=700, balance=300)

    entries = await read(rig, topics.LEDGER, soon.id, lambda found: any(e.kind == "expiry" for e in found))
    [expiry] = [entry for entry in entries if entry.kind == "expiry"]
    assert (expiry.entry_id, expiry.amount_micro, expiry.account) == ("plan-1/expiry", -700, "expired")


async def test_a_runs_charge_comes_out_of_its_hold_and_the_rest_is_given_back_when_it_ends(rig: Rig) -> None:
    org = Org(rig, "holds")
    await org.command(grant="g", amount_micro=10_000)
    await org.has("credits are there", granted=10_000)
    await org.hold("r1", 2_000)
    await org.hold("r2", 1_000)

    await org.use("r1", 100)
    await org.has("what is charged is no longer held", charged=500, held=2_500)
    await org.use("r1", 600, seq=2)
    await org.has("a hold that is used up stays at nothing", charged=2_500, held=1_000)
    assert await rig.redis.hget(keys.holds(org.partition, org.id), "holds-r1") == b"0"

    await org.use("r2", 50, final=True)
    await org.close("r1")
    await org.close("r2")
    await org.has("nothing is held for what has ended", charged=2_800, held=0)
    assert await rig.redis.exists(keys.holds(org.partition, org.id)) == 0
    assert await rig.redis.scard(keys.running(org.partition, "inst-holds")) == 0
    assert await rig.redis.hget(keys.held_by_instance(org.partition, org.id), "inst-holds") == b"0"


async def test_what_an_estimate_took_too_much_of_a_hold_goes_back_into_it(rig: Rig) -> None:
    org = Org(rig, "again")
    await org.command(grant="g", amount_micro=10_000)
    await org.hold("r1", 600)
    await org.use("r1", 100)
    await org.has("the hold pays", charged=500, held=100)
    await org.use("r1", 100, seq=2)
    await org.use("r1", 50, seq=3)
    await org.has("its gateway still counts on all that was granted", charged=300, held=300)
    await org.close("r1")
    await org.has("nothing is held for what has ended", charged=300, held=0)


async def test_a_partition_that_was_half_written_is_left_alone(rig: Rig) -> None:
    org = Org(rig, "torn")
    mark = keys.applying(org.partition)
    await rig.redis.set(mark, 1)
    try:
        await org.command(grant="g", amount_micro=10)

        async def refused() -> bool:
            return "is torn since seq" in rig.log(METERING)

        await eventually(refused, "the worker says so and stops")
        assert await org.wallet() == {}
    finally:
        await rig.redis.delete(mark)
        rig.start(METERING)
    await org.has("healed, it goes on", granted=10)


async def test_gateways_hear_of_a_wallet_that_cannot_pay_what_is_in_flight(rig: Rig) -> None:
    org = Org(rig, "pushes")
    await org.command(grant="g", amount_micro=1_000)
    await org.has("credits are there", granted=1_000)
    await org.hold("r1", 900)
    async with rig.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(keys.LIMIT_CHANNEL)
        await pubsub.get_message(timeout=1.0)
        await org.command("void", "g", command_id="void-1")
        heard = await _limit_state(pubsub, org.id)

    assert (heard.balance_micro, heard.available_micro) == (0, -900)
    assert heard.version == (await org.wallet())["version"]


async def _limit_state(pubsub: Any, org_id: str) -> LimitState:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            message = await pubsub.get_message(timeout=5.0)
            if message is not None:
                state = msgspec.json.decode(message["data"], type=LimitState)
                if state.org_id == org_id:
                    return state


async def test_each_threshold_of_a_wallet_is_told_once_until_credits_are_added(rig: Rig) -> None:
    org = Org(rig, "thresholds")
    await org.command(grant="g", amount_micro=10_000)
    await org.has("credits are there", granted=10_000)
    for run in range(10):
        await org.use(f"r{run}", 225, final=True)
    await org.has("all is spent", charged=10_000)
    await org.command(grant="g2", amount_micro=1_000)
    await org.has("credits were added", granted=11_000)
    await org.use("r10", 225, final=True)

    found = await read(
        rig, topics.LIMITS, org.id, lambda found: sum(e.used_permille == 1_000 for e in found) == 2
    )
    told: list[LimitEvent] = found
    first = [event.used_permille for event in told if event.limit_micro == 10_000]
    assert first == sorted(set(first))
    assert set(first) >= {800, 1_000}
    assert len({event.event_id for event in told}) == len(told)


async def test_corrections_become_adjustments_once_and_history_stays(rig: Rig) -> None:
    org = Org(rig, "corrects")
    await org.command(grant="g", amount_micro=10_000)
    await org.use("r1", 100, final=True)
    await org.close("r1")
    await org.has("the run is charged", charged=500)
    whose = org.whose("r1")
    rerate = CorrectionEvent(**whose, request_id="q1", kind="rerate", new_price_version=DEAR.version)
    await rig.send(topics.CORRECTIONS, [rerate, rerate])
    await org.has("priced anew, once", charged=900, balance=9_100)
    later = {**whose, "occurred_at_ms": whose["occurred_at_ms"] + 1}
    amend = CorrectionEvent(
        **later, request_id="q2", kind="amend", call_id="r1", input_uncached=100, output=50
    )
    await rig.send(topics.CORRECTIONS, [amend])
    await org.has("the provider's invoice says less", charged=500)
    last = {**whose, "occurred_at_ms": whose["occurred_at_ms"] + 2}
    await rig.send(topics.CORRECTIONS, [CorrectionEvent(**last, request_id="q3", kind="void")])
    await org.has("free in the end", charged=0, balance=10_000)

    entries: list[LedgerEntry] = await read(
        rig, topics.LEDGER, org.id, lambda found: any(e.entry_id.endswith("/q3") for e in found)
    )
    latest = {entry.entry_id: entry for entry in sorted(entries, key=lambda entry: entry.version)}
    amounts = {entry_id: entry.amount_micro for entry_id, entry in latest.items()}
    run = "corrects-r1"
    assert amounts == {"g": 10_000, run: -500, f"{run}/q1": -400, f"{run}/q2": 400, f"{run}/q3": 500}
    assert latest[f"{run}/q1"].price_version == DEAR.version


async def test_a_correction_that_comes_before_its_run_counts_no_run_and_waits_for_it(rig: Rig) -> None:
    org = Org(rig, "early")
    await org.command(grant="g", amount_micro=10_000)
    void = CorrectionEvent(**org.whose("r1"), request_id="q1", kind="void")
    await rig.send(topics.CORRECTIONS, [void])
    await org.use("r2", 100, final=True)
    await org.has("another run is charged", charged=500)
    counter = keys.counter(org.partition, "inst-early")
    assert await rig.redis.hget(counter, "started") == b"1"

    await org.use("r1", 100, final=True)

    async def counted() -> bool:
        return await rig.redis.hget(counter, "started") == b"2"

    await eventually(counted, "the run has come")
    assert (await org.wallet())["charged"] == 500


async def test_what_a_wallet_would_refuse_and_what_is_too_late_are_dead_letters(rig: Rig) -> None:
    org = Org(rig, "refused")
    await org.command(grant="returned", amount_micro=5)
    await org.command("refund", "g", amount_micro=0, command_id="r-1")
    await org.command("void", "g")
    old = org.whose("old", started_at_ms=now() - 30 * 86_400_000)
    event = TokenEvent(**old, call_id="old", seq=1, model="m", input_uncached=100, output=10, final=True)
    await rig.send(topics.TOKENS, [event])
    rerate = CorrectionEvent(**org.whose("r1"), request_id="q", kind="rerate", new_price_version="nowhere")
    await rig.send(topics.CORRECTIONS, [rerate])

    letters: list[DeadLetter] = await read(rig, topics.DEAD_LETTERS, org.id, lambda found: len(found) == 5)
    assert sorted(letter.reason for letter in letters) == [
        "invalid_command",
        "invalid_command",
        "invalid_command",
        "too_late",
        "unknown_price_version",
    ]
    assert (await org.wallet()).get("charged", 0) == 0


async def test_the_ledger_of_a_wallet_adds_up_to_its_balance(rig: Rig) -> None:
    for topic, events in run_events("ledger", 200, orgs=4).items():
        await rig.send(topics.BY_NAME[topic], events)
    org = Org(rig, "org-1")
    await org.command(grant="g", amount_micro=1_000_000)
    await org.has("all is charged", charged=50 * RUN_COSTS, granted=1_000_000)

    def complete(found: list[LedgerEntry]) -> bool:
        latest = {e.entry_id: e.amount_micro for e in sorted(found, key=lambda e: e.version)}
        return sum(latest.values()) == 1_000_000 - 50 * RUN_COSTS and len(latest) == 51

    await read(rig, topics.LEDGER, org.id, complete)


async def test_an_entry_that_stands_where_a_published_one_stood_is_not_trimmed_with_it(rig: Rig) -> None:
    redis, key = rig.redis, "{p0}:trimmed"
    trim = redis.register_script(TRIM)
    await redis.xadd(key, {"entries": b"published"}, id="7-0")
    digest = sha1(b"published").hexdigest()

    await redis.delete(key)
    await redis.xadd(key, {"entries": b"cut anew"}, id="7-0")
    assert await trim(keys=[key], args=["7-0", digest]) == 0
    assert await trim(keys=[key], args=["7-0", sha1(b"cut anew").hexdigest()]) == 1
    assert await redis.xlen(key) == 0


async def test_each_threshold_of_an_instances_cap_is_told_once(rig: Rig) -> None:
    org = Org(rig, "capped")
    limits = Limits(daily_cap_micro=2_000)
    record = InstanceRecord(
        instance_id=f"inst-{org.id}",
        tenant_id="t",
        org_id=org.id,
        name="Capped",
        status="active",
        default_model="m",
        models=("m",),
        limits=limits,
    )
    await rig.redis.set(keys.instance(record.instance_id), msgspec.json.encode(record))
    await org.command(grant="g", amount_micro=1_000_000)
    started = now()
    for run in range(5):
        # 900 each: beyond a half with the second, beyond all of it with the third.
        await org.use(f"r{run}", 200, final=True, started_at_ms=started)
        await org.has("the run is charged", charged=900 * (run + 1))

    told: list[LimitEvent] = await read(
        rig,
        topics.LIMITS,
        org.id,
        lambda found: any(e.used_permille == 1_000 and e.scope == "instance_day" for e in found),
    )
    told = [event for event in told if event.scope != "org_wallet"]
    assert [event.used_permille for event in told] == [500, 800, 1_000]
    assert {event.limit_micro for event in told} == {2_000}
    assert {event.scope for event in told} == {"instance_day"}
    assert {event.period_start_ms for event in told} == {start_of("day", started)}
    marks = await rig.redis.smembers(
        keys.limits_told(org.partition, record.instance_id, "day", start_of("day", started))
    )
    assert marks == {b"2000:500", b"2000:800", b"2000:1000"}
