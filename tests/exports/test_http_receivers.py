"""OpenMeter, Stripe and an HTTP hook through outages, kills and a replay: exactly the right ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from containers import free_ports
from exporting import ORGS, Exporting, plain
from receivers import Hook, OpenMeter, Receiver, StripeMeters, serving
from streams_rig import Rig
from waiting import eventually, until

from streams.replay import letters, replay

METERS = [
    {"event_name": "credits", "measure": "charged_micro"},
    {"event_name": "runs", "measure": "runs"},
]
CUSTOMERS = {f"org-{n}": f"cus_{n}" for n in range(ORGS)}


def openmeter() -> tuple[Receiver, dict[str, Any]]:
    receiver = OpenMeter(free_ports("receiver")["receiver"])
    return receiver, {"kind": "openmeter", "url": receiver.url, "token_env": "OM_TOKEN", "max_records": 50}


def stripe() -> tuple[Receiver, dict[str, Any]]:
    receiver = StripeMeters(free_ports("receiver")["receiver"], {"credits", "runs"})
    told = {"kind": "stripe", "api_base": receiver.url, "api_key_env": "STRIPE_KEY", "max_records": 20}
    return receiver, {**told, "meters": METERS, "customers": CUSTOMERS}


def hook() -> tuple[Receiver, dict[str, Any]]:
    receiver = Hook(free_ports("receiver")["receiver"])
    told = {"kind": "http", "url": f"{receiver.url}/billing", "secret_env": "HOOK_SECRET", "max_records": 50}
    return receiver, told


def expected(kind: str, one: Exporting) -> set[str]:
    """Return the ids that the receiver is to keep."""
    if kind == "openmeter":
        return {f"runmeter/{one.tenant}/{record_id}" for record_id in one.sent}
    if kind == "hook":
        return set(one.sent)
    changes = [
        (r, m["event_name"])
        for r in one.sent.values()
        for m in METERS
        if getattr(r, f"{m['measure']}_change")
    ]
    return {f"{record.record_id}.{event_name}" for record, event_name in changes}


KINDS: dict[str, Callable[[], tuple[Receiver, dict[str, Any]]]] = {
    "openmeter": openmeter,
    "stripe": stripe,
    "hook": hook,
}


@pytest.mark.timeout(420)
@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_outages_kills_and_a_replay_leave_exactly_the_right_ids(rig: Rig, kind: str) -> None:
    receiver, told = KINDS[kind]()
    one = Exporting(rig, kind, f"tenant-{kind}", told)
    async with serving(receiver):
        one.start()
        await one.feed("first", 60, 10)
        await until(lambda: len(receiver.kept) > 10, "the first arrive")

        await receiver.stop()
        await one.feed("away", 60, 10)
        one.kill()
        one.start()
        await receiver.start()
        receiver.failing, receiver.after = 4, True
        await until(lambda: not receiver.failing, "answers were lost")
        receiver.failing, receiver.after = 4, False
        receiver.delay_s = 0.05
        await one.feed("slow", 60, 10)
        for _ in range(3):
            seen = receiver.requests
            await until(lambda seen=seen: receiver.requests > seen, "a request is under way")  # type: ignore[misc]
            one.kill()
            one.start()
        receiver.delay_s = 0.0
        status = await one.settled()

    assert set(receiver.kept) == expected(kind, one)
    assert receiver.torn == []
    assert receiver.repeats > 0
    assert (status["refused"], status["lag"]) == (0, 0)

    async with serving(receiver):
        repeats = receiver.repeats
        done = await one.command(
            "replay", kind, "--from", "2000-01-01" if kind != "stripe" else _hours_ago(3)
        )
        assert done.returncode == 0, done.stderr
        assert f"{len(one.sent)} delivered" in done.stdout
        assert receiver.repeats >= repeats + len(expected(kind, one))
    assert set(receiver.kept) == expected(kind, one)
    assert receiver.torn == []
    _adds_up(kind, receiver, one)
    one.kill()


def _hours_ago(hours: int) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


def _adds_up(kind: str, receiver: Receiver, one: Exporting) -> None:
    """A receiver that adds up arrives at what the runs cost after their corrections."""
    cost: dict[str, int] = {}
    for record in one.sent.values():
        cost[record.org_id] = cost.get(record.org_id, 0) + record.charged_micro_change
    latest = {record.run_id: record for record in one.sent.values()}
    assert sum(cost.values()) == sum(record.charged_micro for record in latest.values())
    if isinstance(receiver, OpenMeter):
        assert receiver.sums("charged_micro") == cost
        assert sum(receiver.sums("runs").values()) == len(latest)
    elif isinstance(receiver, StripeMeters):
        assert receiver.sums("credits") == {CUSTOMERS[org]: micro for org, micro in cost.items()}
        assert sum(receiver.sums("runs").values()) == len(latest)
    else:
        assert receiver.kept == {record_id: plain(record) for record_id, record in one.sent.items()}


@pytest.mark.timeout(420)
@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_what_is_refused_is_a_dead_letter_and_the_rest_flows(rig: Rig, kind: str) -> None:
    receiver, told = KINDS[kind]()
    one = Exporting(rig, f"refused-{kind}", f"refusing-{kind}", told)
    poison = f"refused-{kind}-some-5.1"
    receiver.poison = {poison, f"{poison}.credits"}
    async with serving(receiver):
        one.start()
        await one.feed("some", 40)
        status = await one.settled()

        assert status["refused"] == 1
        kept = expected("openmeter" if kind == "openmeter" else kind, one)
        assert len(kept - set(receiver.kept)) == (2 if kind == "stripe" else 1)
        found = [
            letter async for letter in letters(rig.kafka) if letter.worker.startswith(f"export-{one.name}/")
        ]
        assert [(letter.topic, letter.key) for letter in found] == [("billing.records", b"org-5")]
        assert poison.encode() in (found[0].value or b"")
        assert found[0].offset >= 0
        assert found[0].reason == ("stripe_refused" if kind == "stripe" else found[0].reason)

        dry = {"topic": None, "reason": None, "limit": 1_000, "dry_run": True}
        again = await replay(rig.kafka, **dry)  # type: ignore[arg-type]
        assert "billing.records" not in {topic for topic, _ in again}

        receiver.poison.clear()
        done = await one.command("replay", one.name, "--dead-letters")
        assert (done.returncode, done.stdout.split()[0]) == (0, "1"), done.stderr
        assert set(receiver.kept) == kept
    one.kill()


@pytest.mark.timeout(420)
async def test_a_wrong_key_makes_the_exporter_wait_and_say_so_without_showing_it(rig: Rig) -> None:
    receiver, told = stripe()
    one = Exporting(rig, "wrong-key", "wrong-key", {**told, "api_key_env": "OM_TOKEN"})
    async with serving(receiver):
        one.start()
        await one.feed("some", 8)
        status: dict[str, Any] = {}

        async def failing() -> bool:
            status.update(await one.status())
            return bool(status["failing"])

        await eventually(failing, "the exporter says that it waits")
        assert "api_key_env" in status["last_error"]
        assert receiver.kept == {}
        assert one.env["OM_TOKEN"] not in rig.log("streams.exports", one.name)
        one.kill()
        one.told["api_key_env"] = "STRIPE_KEY"
        one.start()
        await one.settled()
        assert set(receiver.kept) == expected("stripe", one)
    one.kill()


@pytest.mark.timeout(420)
async def test_what_may_have_reached_stripe_too_long_ago_is_not_sent_again_by_itself(rig: Rig) -> None:
    receiver, told = stripe()
    one = Exporting(rig, "unknown", "unknown", {**told, "repeatable_ms": 1_000})
    async with serving(receiver):
        receiver.delay_s = 0.5
        one.start()
        await one.feed("some", 40)
        await until(lambda: receiver.requests > 0, "a batch is under way")
        one.kill()
        await asyncio.sleep(1.5)
        receiver.delay_s = 0.0
        one.start()
        status = await one.settled()

        assert status["refused"] > 0
        assert receiver.repeats == 0
        found = [letter async for letter in letters(rig.kafka) if letter.worker.startswith("export-unknown/")]
        assert {letter.reason for letter in found} == {"outcome_unknown"}
        assert len(found) == status["refused"]

        refused = await one.command("replay", one.name, "--dead-letters")
        assert refused.returncode == 1
        assert "--not-received" in refused.stderr
        done = await one.command("replay", one.name, "--dead-letters", "--not-received")
        assert done.returncode == 0, done.stderr
        assert set(receiver.kept) == expected("stripe", one)
        assert receiver.torn == []
    one.kill()


@pytest.mark.timeout(420)
async def test_organisations_that_pay_elsewhere_do_not_stop_the_exporter(rig: Rig) -> None:
    receiver, told = stripe()
    one = Exporting(rig, "elsewhere", "elsewhere", {**told, "max_records": 100, "customers": {}})
    found: list[str] = []

    async def all_refused() -> bool:
        read = [letter async for letter in letters(rig.kafka)]
        found[:] = [letter.reason for letter in read if letter.worker.startswith("export-elsewhere/")]
        return len(found) == 1_100

    async with serving(receiver):
        one.start()
        await one.feed("some", 1_100)
        await eventually(all_refused, "each is a dead letter")
        status = await one.settled()

    assert one.process is not None
    assert one.process.poll() is None
    assert (status["refused"], set(found), receiver.requests) == (1_100, {"unknown_customer"}, 0)
    one.kill()


# The last: what it leaves in the log is refused by every exporter that begins at its beginning.
@pytest.mark.timeout(420)
async def test_what_is_no_record_is_a_dead_letter_and_others_tenants_records_are_not_sent(rig: Rig) -> None:
    receiver, told = hook()
    one = Exporting(rig, "poisoned", "poisoned", {**told, "start": "latest"})
    other = Exporting(rig, "others", "somebody-else", told)
    async with serving(receiver):
        one.start()

        async def begun() -> bool:
            await one.feed("begun", 8)
            return bool(receiver.kept)

        await eventually(begun, "the exporter has begun")
        await other.feed("some", 20)
        sent = await rig.producer.send_and_wait("billing.records", b"{no record", key=b"org-1", partition=3)
        await one.feed("after", 20)
        await one.settled()
        found = [
            letter async for letter in letters(rig.kafka) if letter.worker.startswith("export-poisoned/")
        ]
        assert [(a.topic, a.partition, a.offset, a.reason) for a in found] == [
            ("billing.records", 3, sent.offset, "invalid_event")
        ]
        assert {content["tenant_id"] for content in receiver.kept.values()} == {"poisoned"}
        assert {r for r in one.sent if "after" in r} <= set(receiver.kept)
    one.kill()
