"""Bought by each road on the whole stack: one instance, one grant, the right balance, a key that works."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

import aiohttp
from containers import SERVICE_TOKEN, free_ports
from market import Delivery, Market
from stripe_server import signed
from waiting import eventually

from metering.prices import MICRO_PER_CREDIT
from stack import state
from stack.layout import Layout

#: What the plan `starter` includes each month.
INCLUDED_MICRO = 2_500 * MICRO_PER_CREDIT
REPLAYS = 100
#: Gateways of a test go on believing a key for so long, unless they are told otherwise.
KEY_CACHE_TTL_S = 300
#: Far more than a push takes, far less than a cache lives.
TOLD_WITHIN_S = 60


def cost_of(answer: dict[str, Any]) -> int:
    """Return what a run says that it cost, in micro-credits."""
    whole, _, part = answer["usage"]["credits"].partition(".")
    return int(whole) * MICRO_PER_CREDIT + int(part.ljust(6, "0"))


async def holds(market: Market, owner: dict[str, str]) -> None:
    """What every road must have led to, now and for ever: one of each, and a key that works at once."""
    order = await market.provisioned(owner)
    key = await market.welcome(owner, order["order_id"])
    status, answer = await market.run(key)
    assert (status, answer.get("status")) == (200, "completed"), answer
    cost = cost_of(answer)
    assert cost > 0
    await market.settles_at(owner, INCLUDED_MICRO - cost)
    instances = (await market.call(owner, "GET", "/account/instances"))[1]["instances"]
    assert [(i["instance_id"], i["status"]) for i in instances] == [(order["instance_id"], "active")]
    ledger = (await market.call(owner, "GET", "/wallet/ledger?kind=grant"))[1]["entries"]
    assert [entry["amount_micro"] for entry in ledger if entry["amount_micro"] > 0] == [INCLUDED_MICRO]
    assert (await market.call(owner, "POST", f"/orders/{order['order_id']}:reveal_key"))[0] == 404


def shuffled(deliveries: list[Delivery]) -> list[Delivery]:
    """Return each delivery a hundred times, in an order that is the same every time."""
    many = deliveries * REPLAYS
    random.Random(7).shuffle(many)
    return many


async def test_by_stripe(market: Market) -> None:
    stripe = market.stripe
    owner = await market.org("By Stripe")
    placed = await market.order(owner, "stripe")
    assert placed["checkout_url"].startswith("https://checkout.example.com/")
    (session,) = stripe.of("checkout.session", client_reference_id=placed["order_id"])
    completed = stripe.pay(session["id"])
    invoice = stripe.event("invoice.paid", stripe.of("invoice")[0])
    subscription = stripe.of("subscription")[0]
    changed = stripe.event("customer.subscription.updated", subscription)
    # The last first: what belongs to an order that is not paid yet waits until it is.
    deliveries = [("stripe", *signed(event)) for event in (changed, invoice, completed)]

    for delivery in deliveries:
        await market.deliver([delivery])
    market.kill("console_api")
    await market.deliver(shuffled(deliveries))

    await holds(market, owner)
    await market.deliver(deliveries)
    listed = (await market.call(owner, "GET", "/subscriptions"))[1]["subscriptions"]
    assert [entry["status"] for entry in listed] == ["active"]
    assert len((await market.call(owner, "GET", "/account/instances"))[1]["instances"]) == 1


async def test_by_a_saleor_shop(market: Market) -> None:
    owner = await market.org("By Saleor", "saleor:customer-7")
    line = {
        "id": "T3JkZXJMaW5lOjE=",
        "productSku": "starter",
        "quantity": 1,
        "totalPrice": {"gross": {"amount": 29.0, "currency": "USD"}},
    }
    order = market.saleor.order(
        privateMetadata=[{"key": "runmeter.org", "value": "customer-7"}],
        lines=[line],
        total={"gross": {"amount": 29.0, "currency": "USD"}},
    )
    paid = ("saleor", *market.saleor.deliver("order_fully_paid", order))
    paid_too = ("saleor", *market.saleor.deliver("order_paid", order))

    await market.deliver([paid_too, paid])
    market.kill("console_api")
    await market.deliver(shuffled([paid, paid_too]))

    await holds(market, owner)


async def test_by_an_operators_word(market: Market) -> None:
    owner = await market.org("By hand")
    placed = await market.order(owner, "manual")
    path = f"/orders/{placed['order_id']}:mark_paid"
    assert (await market.call(owner, "POST", path, {"note": "I say so"}))[0] == 403

    said = await asyncio.gather(
        *(market.call(market.operator, "POST", path, {"note": "bank transfer 7"}) for _ in range(10))
    )
    assert {status for status, _ in said} <= {204, 409}

    await holds(market, owner)


async def test_without_money_and_its_key_is_refused_by_two_gateways_because_they_are_told(
    market: Market,
) -> None:
    owner = await market.org("Without money")
    placed = await market.order(owner, "dummy")
    path = f"/orders/{placed['order_id']}:pay"
    said = await asyncio.gather(*(market.call(owner, "POST", path) for _ in range(10)))
    assert {status for status, _ in said} <= {204, 409}
    await holds(market, owner)

    instance_id = (await market.provisioned(owner))["instance_id"]
    keys_path = f"/instances/{instance_id}/api_keys"
    wanted = {"kind": "secret", "name": "for two gateways"}
    _, made = await market.call(owner, "POST", keys_path, wanted)
    gateways = [await _gateway(market, name) for name in ("second", "third")]
    try:
        urls = [url for _, url in gateways]
        for url in urls:
            assert (await market.run(made["key"], url))[0] == 200
        key_id = made["key_id"] if "key_id" in made else made["api_key"]["key_id"]
        assert (await market.call(owner, "DELETE", f"{keys_path}/{key_id}"))[0] == 204
        for url in urls:

            async def refused(url: str = url) -> bool:
                return (await market.run(made["key"], url))[0] == 401

            assert await eventually(refused, "the gateway refuses it") < TOLD_WITHIN_S
    finally:
        for process, _ in gateways:
            process.kill()
            await process.wait()


async def _gateway(market: Market, name: str) -> tuple[asyncio.subprocess.Process, str]:
    """Start another gateway of the stack, which asks for a key again after minutes; say where it answers."""
    data_dir = Path(market.stack["data_dir"])
    known = state.read(data_dir)
    assert known is not None
    assert known.demo is not None
    port = free_ports("gateway")["gateway"]
    environment = {
        **os.environ,
        **Layout(data_dir, known.ports, known.demo).environment(),
        "RUNMETER_GATEWAY_PORT": str(port),
        "RUNMETER_RUNNER_SERVICE_TOKENS": SERVICE_TOKEN,
        "RUNMETER_GATEWAY_SPOOL_DIR": str(data_dir / "spool" / name),
        "RUNMETER_GATEWAY_KEY_CACHE_TTL_MS": str(KEY_CACHE_TTL_S * 1_000),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", env=environment)
    url = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        try:
            async with market.http.get(f"{url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    await eventually(ready, f"the {name} gateway is ready")
    return process, url
