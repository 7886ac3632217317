"""Who an organisation is to Stripe: what the file says, what the control plane says, and when neither can."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from containers import free_ports
from exporting import SECRETS, records
from ledger_entries import NOW_MS
from pydantic import TypeAdapter
from receivers import StripeMeters, serving
from streams_rig import Rig
from test_destinations import batch, stripe_at

from kit.settings import RedisSettings
from kit.settings import exports as settings
from schemas import keys
from schemas.directory import CustomerRecord
from streams.exports import kinds
from streams.exports.port import Destination, Unavailable


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> StripeMeters:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return StripeMeters(free_ports("receiver")["receiver"], {"credits"})


def opened(receiver: StripeMeters, redis: RedisSettings, **told: Any) -> Destination:
    adapter: TypeAdapter[settings.Destination] = TypeAdapter(settings.Destination)
    chosen = adapter.validate_python(stripe_at(receiver, **told))
    return kinds.made(chosen, lambda: NOW_MS + 60_000, redis)


async def test_whom_a_checkout_made_a_customer_is_one(rig: Rig, receiver: StripeMeters) -> None:
    named = {"org-0": "cus_of_the_file"}
    for org_id, ref in {"org-0": "cus_of_a_checkout", "org-1": "cus_1"}.items():
        record = CustomerRecord(org_id=org_id, provider="stripe", customer_ref=ref)
        await rig.redis.set(keys.customer("stripe", org_id), msgspec.json.encode(record))
    destination = opened(receiver, rig.redis_settings, customers=named, customers_from="control_plane")
    some = batch(records("acme", "run", 3))

    async with serving(receiver):
        refusals = await destination.deliver(some)
        late = CustomerRecord(org_id="org-2", provider="stripe", customer_ref="cus_2")
        await rig.redis.set(keys.customer("stripe", "org-2"), msgspec.json.encode(late))
        later = await destination.deliver(some)
    await destination.close()

    assert [(r.item.record.org_id, r.reason) for r in refusals] == [("org-2", "unknown_customer")]
    assert later == []
    assert set(receiver.sums("credits")) == {"cus_of_the_file", "cus_1", "cus_2"}


async def test_the_control_plane_is_asked_only_where_the_file_says_so(
    rig: Rig, receiver: StripeMeters
) -> None:
    record = CustomerRecord(org_id="org-0", provider="stripe", customer_ref="cus_0")
    await rig.redis.set(keys.customer("stripe", "org-0"), msgspec.json.encode(record))
    destination = opened(receiver, rig.redis_settings, customers={})
    async with serving(receiver):
        [refusal] = await destination.deliver(batch(records("acme", "run", 1)))
    await destination.close()

    assert (refusal.reason, receiver.requests) == ("unknown_customer", 0)


async def test_a_redis_that_forgot_or_is_away_is_waited_for(rig: Rig, receiver: StripeMeters) -> None:
    told = {"customers": {}, "customers_from": "control_plane"}
    nobody = RedisSettings(url=f"redis://127.0.0.1:{free_ports('nobody')['nobody']}/0", timeout_ms=200)
    some = batch(records("acme", "forgotten", 1))
    await rig.redis.delete(keys.customer("stripe", "org-0"), keys.projected())
    try:
        for redis, remedy in ((rig.redis_settings, "console API"), (nobody, "RUNMETER_REDIS_URL")):
            destination = opened(receiver, redis, **told)
            with pytest.raises(Unavailable, match=remedy) as failed:
                await destination.deliver(some)
            assert not failed.value.arrived
            await destination.close()
    finally:
        await rig.mark_projected()
