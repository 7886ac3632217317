"""Each destination's own rules, against a receiver that checks what the published one checks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from containers import free_ports
from exporting import ORGS, SECRETS, records
from ledger_entries import NOW_MS
from pydantic import TypeAdapter
from receivers import Hook, OpenMeter, Receiver, StripeMeters, serving

from kit.settings import RedisSettings
from kit.settings import exports as settings
from schemas.billing import BillingRecord
from schemas.events import encode
from streams.exports import kinds
from streams.exports.files import schema
from streams.exports.port import Batch, Destination, Item, Unavailable
from streams.exports.stripe_meters import identifier_of

DAY_MS = 86_400_000
METERS = [{"event_name": "credits", "measure": "charged_micro"}]
CUSTOMERS = {f"org-{n}": f"cus_{n}" for n in range(ORGS)}


def batch(some: Sequence[BillingRecord]) -> Batch:
    items = [Item(n, record, encode(record)) for n, record in enumerate(some)]
    return Batch(0, 0, len(items) - 1, items)


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def made(told: dict[str, Any], now_ms: int = NOW_MS + 60_000) -> AsyncIterator[Destination]:
    adapter: TypeAdapter[settings.Destination] = TypeAdapter(settings.Destination)
    destination = kinds.made(adapter.validate_python(told), lambda: now_ms, RedisSettings())
    try:
        yield destination
    finally:
        await destination.close()


def stripe_at(receiver: Receiver, **more: Any) -> dict[str, Any]:
    told = {"kind": "stripe", "api_base": receiver.url, "api_key_env": "STRIPE_KEY", "customers": CUSTOMERS}
    return {**told, "meters": METERS, **more}


def port() -> int:
    return free_ports("receiver")["receiver"]


async def test_openmeter_gets_changes_as_cloudevents() -> None:
    async with serving(OpenMeter(port())) as receiver:
        told = {"kind": "openmeter", "url": receiver.url + "/", "token_env": "OM_TOKEN"}
        async with made(told) as destination:
            assert await destination.deliver(batch(records("acme", "run", 1, 1))) == []
    first, second = receiver.kept.values()
    assert (first["id"], first["source"], first["subject"]) == ("run-0.1", "runmeter/acme", "org-0")
    assert (first["data"]["charged_micro"], first["data"]["runs"], first["data"]["tokens_in"]) == (
        227,
        1,
        100,
    )
    assert (second["data"]["charged_micro"], second["data"]["runs"]) == (-100, 0)
    assert {"model", "status", "instance_id", "run_id", "price_version"} <= set(first["data"])


async def test_a_hook_of_one_record_is_named_by_it() -> None:
    async with serving(Hook(port())) as receiver:
        told = {"kind": "http", "url": receiver.url, "secret_env": "HOOK_SECRET"}
        async with made(told, time.time_ns() // 1_000_000) as destination:
            assert await destination.deliver(batch(records("acme", "run", 1))) == []
    assert list(receiver.kept) == ["run-0.1"]


async def test_stripe_gets_whole_numbers_under_ids_it_knows_again() -> None:
    async with serving(StripeMeters(port(), {"credits"})) as receiver, made(stripe_at(receiver)) as stripe:
        some = batch(records("acme", "run", 20, 5))
        assert await stripe.deliver(some) == []
        assert await stripe.deliver(some) == []
    assert receiver.repeats == 25
    assert receiver.torn == []
    assert receiver.kept["run-0.2.credits"]["payload"] == {"stripe_customer_id": "cus_0", "value": "-100"}
    assert sum(receiver.sums("credits").values()) == 20 * 227 - 5 * 100  # type: ignore[attr-defined]


async def test_two_organisations_of_one_customer_are_not_called_for_at_once() -> None:
    async with serving(StripeMeters(port(), {"credits"})) as receiver:
        receiver.delay_s = 0.02
        one = dict.fromkeys(CUSTOMERS, "cus_group")
        async with made(stripe_at(receiver, customers=one)) as stripe:
            # Side by side, as two partitions are.
            some = [batch(records("acme", f"run-{n}", 4)) for n in range(2)]
            assert await asyncio.gather(*map(stripe.deliver, some)) == [[], []]
    assert len(receiver.kept) == receiver.requests == 8


@pytest.mark.parametrize(
    ("change", "later_ms", "reason"),
    [
        ({}, 36 * DAY_MS, "too_old"),
        ({}, -DAY_MS, "in_the_future"),
        ({"customers": {}}, 0, "unknown_customer"),
    ],
)
async def test_what_stripe_would_drop_after_its_answer_is_not_sent(
    change: dict[str, Any], later_ms: int, reason: str
) -> None:
    async with (
        serving(StripeMeters(port(), {"credits"})) as receiver,
        made(stripe_at(receiver, **change), NOW_MS + later_ms) as stripe,
    ):
        refusals = await stripe.deliver(batch(records("acme", "run", 3)))
    assert [refusal.reason for refusal in refusals] == [reason] * 3
    assert receiver.requests == 0


async def test_a_negative_quantity_may_be_kept_for_a_credit_note() -> None:
    async with (
        serving(StripeMeters(port(), {"credits"})) as receiver,
        made(stripe_at(receiver, negative="dead_letter")) as stripe,
    ):
        refusals = await stripe.deliver(batch(records("acme", "run", 1, 1)))
    assert [(r.item.record.record_id, r.reason) for r in refusals] == [("run-0.2", "negative")]
    assert list(receiver.kept) == ["run-0.1.credits"]


def test_an_identifier_is_short_and_a_records_own() -> None:
    some = records("acme", "r" * 120, 2, 1)
    meter = settings.StripeMeter(event_name="m" * 100, measure="runs")
    found = [identifier_of(record, meter) for record in some]
    assert len(set(found)) == 3
    assert all(len(identifier) <= 100 for identifier in found)


@pytest.mark.parametrize("status", [401, 404])
async def test_what_says_something_of_our_settings_is_waited_for(status: int) -> None:
    async with serving(OpenMeter(port())) as receiver:
        told: dict[str, Any] = {"kind": "openmeter", "url": receiver.url, "token_env": "OM_TOKEN"}
        told |= {"token_env": "HOOK_SECRET"} if status == 401 else {"url": receiver.url + "/elsewhere"}
        async with made(told) as destination:
            with pytest.raises(Unavailable, match=str(status)) as failed:
                await destination.deliver(batch(records("acme", "run", 1)))
    assert SECRETS["HOOK_SECRET"] not in str(failed.value)


async def test_a_receiver_that_is_away_took_nothing_and_one_that_is_slow_may_have() -> None:
    receiver = OpenMeter(port())
    told = {"kind": "openmeter", "url": receiver.url, "token_env": "OM_TOKEN", "timeout_ms": 200}
    async with made(told) as destination:
        with pytest.raises(Unavailable) as away:
            await destination.deliver(batch(records("acme", "run", 1)))
        receiver.delay_s = 30.0
        async with serving(receiver):
            with pytest.raises(Unavailable) as slow:
                await destination.deliver(batch(records("acme", "run", 1)))
    assert (away.value.arrived, slow.value.arrived) == (False, True)


def test_a_file_has_a_column_for_each_field_of_a_record() -> None:
    assert schema().names == [*BillingRecord.__struct_fields__, "offset"]
    plain = msgspec.json.decode(encode(records("acme", "run", 1)[0]))
    kinds_of = {str: "string", int: "int64", bool: "bool"}
    for name, value in plain.items():
        assert str(schema().field(name).type) == kinds_of[type(value)], name
