"""Bought by each road on the whole stack: one instance, one grant, the right balance, a key that works."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
import saleor_signer
import stripe_server
from containers import free_ports
from control_world import add_token
from redis.asyncio import Redis
from saleor_signer import Shop
from stripe_server import StripeServer, signed
from waiting import eventually

from console_api.control.directory import service as directory
from console_api.database.engine import connect
from kit import clock, redis_client
from kit.settings import DatabaseSettings, RedisSettings
from metering.prices import MICRO_PER_CREDIT
from stack import state
from stack.layout import Layout

TENANT = "tenant_demo"
#: What the plan `starter` includes each month, and what it costs.
INCLUDED_MICRO = 2_500 * MICRO_PER_CREDIT
STARTER_MINOR = 2_900
REPLAYS = 100

Delivery = tuple[str, bytes, dict[str, str]]


@dataclass
class Market:
    """The running stack as its buyers, operators and payment providers use it."""

    stack: dict[str, Any]
    http: aiohttp.ClientSession
    redis: Redis
    stripe: StripeServer
    saleor: Shop
    operator: dict[str, str]

    async def call(
        self, headers: dict[str, str], method: str, path: str, body: Any = None, **extra: str
    ) -> tuple[int, Any]:
        """Call the console API until it answers: its process may be on its way back."""
        url = f"{self.stack['console_api_url']}/api/v1{path}"
        while True:
            try:
                async with self.http.request(method, url, json=body, headers={**headers, **extra}) as answer:
                    if answer.status != 503:
                        text = await answer.text()
                        return answer.status, (await answer.json(content_type=None)) if text else None
            except (aiohttp.ClientConnectionError, TimeoutError):
                pass
            await asyncio.sleep(0.1)

    async def org(self, name: str, external_id: str | None = None) -> dict[str, str]:
        """Make an org, which its marketplace may have a name for; return its owner's headers."""
        database = connect(DatabaseSettings(), Path(self.stack["data_dir"]))
        try:
            async with database.writing() as session:
                org = await directory.ensure_org(
                    session, TENANT, name, at_ms=clock.now_ms(), external_id=external_id
                )
        finally:
            await database.close()
        return await add_token(self.redis, TENANT, org.org_id)

    async def order(self, owner: dict[str, str], provider: str) -> dict[str, Any]:
        wanted = {"plan": "starter", "currency": "usd", "every": "month", "provider": provider}
        key = clock.new_id("key")
        status, placed = await self.call(owner, "POST", "/orders", wanted, **{"Idempotency-Key": key})
        assert status == 201, placed
        assert (await self.call(owner, "POST", "/orders", wanted, **{"Idempotency-Key": key}))[1] == placed
        return dict(placed)

    async def deliver(self, deliveries: Iterable[Delivery]) -> Counter[int]:
        """Deliver, ten at a time, each until it is taken, as providers do; return the answers."""
        told: Counter[int] = Counter()
        waiting = asyncio.Semaphore(10)

        async def one(provider: str, body: bytes, headers: dict[str, str]) -> None:
            url = f"{self.stack['console_api_url']}/api/v1/webhooks/{provider}"
            async with waiting:
                for _ in range(200):
                    try:
                        async with self.http.post(url, data=body, headers=headers) as answer:
                            told[answer.status] += 1
                            if answer.status == 200:
                                return
                    except (aiohttp.ClientConnectionError, TimeoutError):
                        pass
                    await asyncio.sleep(0.1)
            raise AssertionError(f"never taken: {told}")

        await asyncio.gather(*(one(*delivery) for delivery in deliveries))
        return told

    async def provisioned(self, owner: dict[str, str]) -> dict[str, Any]:
        """Wait until the one order of an org is done and gateways know its instance."""
        found: dict[str, Any] = {}

        async def done() -> bool:
            orders = (await self.call(owner, "GET", "/orders"))[1]["orders"]
            found.update(orders[0] if orders else {})
            return found.get("status") == "provisioned"

        await eventually(done, f"the order is provisioned: {found}", 60)
        return found

    async def welcome(self, owner: dict[str, str], order_id: str) -> str:
        status, shown = await self.call(owner, "POST", f"/orders/{order_id}:reveal_key")
        assert status == 200, shown
        return str(shown["key"])

    async def run(self, key: str, gateway_url: str = "") -> tuple[int, Any]:
        url = f"{gateway_url or self.stack['gateway_url']}/v1/runs"
        body = {"input": "Hello", "max_tokens": 8}
        async with self.http.post(url, json=body, headers={"X-API-Key": key}) as answer:
            return answer.status, await answer.json()

    async def balance(self, owner: dict[str, str]) -> int:
        status, wallet = await self.call(owner, "GET", "/wallet")
        assert status == 200, wallet
        return int(wallet["settled_micro"])

    async def settles_at(self, owner: dict[str, str], micro: int) -> None:
        async def settled() -> bool:
            return await self.balance(owner) == micro

        await eventually(settled, f"the balance is {micro}", 60)

    def kill(self, name: str) -> None:
        """Kill a part of the stack, which its supervisor starts again."""
        known = state.read(Path(self.stack["data_dir"]))
        assert known is not None
        (pid,) = [process.pid for process in known.processes if process.name == name]
        os.kill(pid, signal.SIGKILL)

    async def holds(self, owner: dict[str, str]) -> None:
        """What every road must have led to, now and for ever: one of each, and a key that works at once."""
        order = await self.provisioned(owner)
        key = await self.welcome(owner, order["order_id"])
        status, answer = await self.run(key)
        assert (status, answer.get("status")) == (200, "completed"), answer
        whole, _, part = answer["usage"]["credits"].partition(".")
        cost = int(whole) * MICRO_PER_CREDIT + int(part.ljust(6, "0"))
        assert cost > 0
        await self.settles_at(owner, INCLUDED_MICRO - cost)
        instances = (await self.call(owner, "GET", "/account/instances"))[1]["instances"]
        assert [(i["instance_id"], i["status"]) for i in instances] == [(order["instance_id"], "active")]
        ledger = (await self.call(owner, "GET", "/wallet/ledger?kind=grant"))[1]["entries"]
        assert [entry["amount_micro"] for entry in ledger if entry["amount_micro"] > 0] == [INCLUDED_MICRO]
        assert (await self.call(owner, "POST", f"/orders/{order['order_id']}:reveal_key"))[0] == 404


@pytest_asyncio.fixture
async def market(stack: dict[str, Any]) -> AsyncIterator[Market]:
    redis = redis_client.connect(RedisSettings(url=stack["redis_url"]))
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        stripe_server.running(stack["stripe_port"]) as stripe,
        saleor_signer.running(stack["saleor_port"]) as saleor,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        operator = await add_token(redis, TENANT, role="operator")
        yield Market(stack, http, redis, stripe, saleor, operator)
    await redis.aclose()


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

    await market.holds(owner)
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

    await market.holds(owner)


async def test_by_an_operators_word(market: Market) -> None:
    owner = await market.org("By hand")
    placed = await market.order(owner, "manual")
    path = f"/orders/{placed['order_id']}:mark_paid"
    assert (await market.call(owner, "POST", path, {"note": "I say so"}))[0] == 403

    said = await asyncio.gather(
        *(market.call(market.operator, "POST", path, {"note": "bank transfer 7"}) for _ in range(10))
    )
    assert {status for status, _ in said} <= {204, 409}

    await market.holds(owner)


async def test_without_money_and_its_key_is_refused_at_once_by_two_gateways(market: Market) -> None:
    owner = await market.org("Without money")
    placed = await market.order(owner, "dummy")
    path = f"/orders/{placed['order_id']}:pay"
    said = await asyncio.gather(*(market.call(owner, "POST", path) for _ in range(10)))
    assert {status for status, _ in said} <= {204, 409}
    await market.holds(owner)

    instance_id = (await market.provisioned(owner))["instance_id"]
    keys_path = f"/instances/{instance_id}/api_keys"
    wanted = {"kind": "secret", "name": "for two gateways"}
    _, made = await market.call(owner, "POST", keys_path, wanted)
    second = await _second_gateway(market)
    try:
        urls = [market.stack["gateway_url"], second[1]]
        for url in urls:
            assert (await market.run(made["key"], url))[0] == 200
        key_id = made["key_id"] if "key_id" in made else made["api_key"]["key_id"]
        assert (await market.call(owner, "DELETE", f"{keys_path}/{key_id}"))[0] == 204
        for url in urls:

            async def refused(url: str = url) -> bool:
                return (await market.run(made["key"], url))[0] == 401

            await eventually(refused, "the gateway refuses it", 10)
    finally:
        second[0].kill()
        await second[0].wait()


async def _second_gateway(market: Market) -> tuple[asyncio.subprocess.Process, str]:
    """Start another gateway of the stack; return it and where it answers."""
    data_dir = Path(market.stack["data_dir"])
    known = state.read(data_dir)
    assert known is not None
    assert known.demo is not None
    port = free_ports("gateway")["gateway"]
    environment = {
        **os.environ,
        **Layout(data_dir, known.ports, known.demo).environment(),
        "RUNMETER_GATEWAY_PORT": str(port),
        "RUNMETER_GATEWAY_SPOOL_DIR": str(data_dir / "spool" / "second"),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", env=environment)
    url = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        try:
            async with market.http.get(f"{url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    await eventually(ready, "the second gateway is ready", 60)
    return process, url
