"""The running stack as its buyers, its operators and payment providers use it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import saleor_signer
import stripe_server
from containers import redis_at
from control_places import SQLITE
from control_world import add_token
from redis.asyncio import Redis
from saleor_signer import Shop
from stripe_server import StripeServer
from waiting import PATIENCE_S, eventually

from console_api.control.directory import service as directory
from console_api.database.engine import connect
from console_api.database.tables import Org
from kit import clock, redis_client
from schemas.directory import Role
from stack import state

#: The demo's.
TENANT = "tenant_demo"

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

    async def org(self, name: str, external_id: str | None = None, tenant_id: str = TENANT) -> dict[str, str]:
        """Make an org, which its marketplace may have a name for; return its owner's headers."""
        database = connect(SQLITE, Path(self.stack["data_dir"]))
        try:
            async with database.writing() as session:
                await directory.ensure_tenant(session, tenant_id, tenant_id, clock.now_ms())
                org = await directory.ensure_org(
                    session, tenant_id, name, at_ms=clock.now_ms(), external_id=external_id
                )
        finally:
            await database.close()
        return await add_token(self.redis, tenant_id, org.org_id)

    async def member(self, owner: dict[str, str], role: Role) -> str:
        """Make a member of the owner's org; return the user's id."""
        org_id = (await self.call(owner, "GET", "/account"))[1]["org_id"]
        database = connect(SQLITE, Path(self.stack["data_dir"]))
        try:
            async with database.writing() as session:
                org = await session.get(Org, org_id)
                assert org is not None
                user = await directory.ensure_member(
                    session, org, issuer="tests", subject=clock.new_id("sub"), role=role, at_ms=clock.now_ms()
                )
                return user.user_id
        finally:
            await database.close()

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

            async def taken() -> bool:
                try:
                    async with self.http.post(url, data=body, headers=headers) as answer:
                        told[answer.status] += 1
                        return answer.status == 200
                except (aiohttp.ClientConnectionError, TimeoutError):
                    return False

            async with waiting:
                await eventually(taken, f"a delivery is taken: {told}")

        await asyncio.gather(*(one(*delivery) for delivery in deliveries))
        return told

    async def provisioned(self, owner: dict[str, str]) -> dict[str, Any]:
        """Wait until the one order of an org is done and gateways know its instance."""
        found: dict[str, Any] = {}

        async def done() -> bool:
            orders = (await self.call(owner, "GET", "/orders"))[1]["orders"]
            found.update(orders[0] if orders else {})
            return found.get("status") == "provisioned"

        await eventually(done, f"the order is provisioned: {found}")
        return found

    async def welcome(self, owner: dict[str, str], order_id: str) -> str:
        status, shown = await self.call(owner, "POST", f"/orders/{order_id}:reveal_key")
        assert status == 200, shown
        return str(shown["key"])

    async def run(self, key: str, gateway_url: str = "", **more: Any) -> tuple[int, Any]:
        url = f"{gateway_url or self.stack['gateway_url']}/v1/runs"
        body = {"input": "Hello", "max_tokens": 8, **more}
        async with self.http.post(url, json=body, headers={"X-API-Key": key}) as answer:
            return answer.status, await answer.json()

    async def balance(self, owner: dict[str, str]) -> int:
        status, wallet = await self.call(owner, "GET", "/wallet")
        assert status == 200, wallet
        return int(wallet["settled_micro"])

    async def settles_at(self, owner: dict[str, str], micro: int) -> None:
        async def settled() -> bool:
            return await self.balance(owner) == micro

        await eventually(settled, f"the balance is {micro}")

    def kill(self, name: str) -> None:
        """Kill a part of the stack, which its supervisor starts again."""
        known = state.read(Path(self.stack["data_dir"]))
        assert known is not None
        (pid,) = [process.pid for process in known.processes if process.name == name]
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def opened(stack: dict[str, Any]) -> AsyncIterator[Market]:
    """Put Stripe and a shop where the stack expects them."""
    redis = redis_client.connect(redis_at(stack["redis_url"]))
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with (
        stripe_server.running(stack["stripe_port"]) as stripe,
        saleor_signer.running(stack["saleor_port"]) as saleor,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        operator = await add_token(redis, TENANT, role="operator")
        yield Market(stack, http, redis, stripe, saleor, operator)
    await redis.aclose()
