"""A page that a chat widget is embedded in, as the gateway sees it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from gateway_rig import Answered, Plane, Service, Tenant
from redis.asyncio import Redis

from kit import api_keys
from schemas import keys

ORIGIN = "https://shop.example.com"
#: Settings of a gateway whose widgets may do anything as often as they like.
NO_LIMITS = {
    f"WIDGET_{kind}_PER_{of}": "0"
    for kind in ("SESSIONS", "RUNS")
    for of in ("VISITOR_PER_MINUTE", "ADDRESS_PER_MINUTE", "KEY_PER_DAY")
}


@dataclass(frozen=True)
class Page:
    """One browser with a page of `origin`, in front of one gateway."""

    plane: Plane
    gateway: Service
    tenant: Tenant
    origin: str = ORIGIN

    def at(self, gateway: Service) -> Page:
        return replace(self, gateway=gateway)

    def headers(self, **more: str) -> dict[str, str]:
        origin = {"Origin": self.origin} if self.origin else {}
        return {**origin, **{name.replace("_", "-"): value for name, value in more.items()}}

    async def init(self, body: dict[str, Any] | None = None, **headers: str) -> Answered:
        return await self.plane.post(
            self.gateway,
            "/v1/widget/session:init",
            json=body or {},
            headers=self.headers(**{"X_API_Key": self.tenant.key, **headers}),
        )

    async def session(self, body: dict[str, Any] | None = None, **headers: str) -> Any:
        """Begin a session, which has to succeed."""
        answer = await self.init(body, **headers)
        assert answer.status == 200, answer.body
        return answer.json

    async def refresh(self, token: str, **headers: str) -> Answered:
        return await self.plane.post(
            self.gateway,
            "/v1/widget/session:refresh",
            headers=self.headers(Authorization=f"Bearer {token}", **headers),
        )

    async def run(self, token: str, headers: dict[str, str] | None = None, **body: Any) -> Answered:
        return await self.plane.post(
            self.gateway,
            "/v1/runs",
            json={"input": "What are your opening hours?", **body},
            headers={**self.headers(Authorization=f"Bearer {token}"), **(headers or {})},
        )

    async def look(self, token: str, run_id: str = "run_none") -> Answered:
        """Look a run up: the cheapest request that a session opens."""
        return await self.plane.get(
            self.gateway, f"/v1/runs/{run_id}", headers=self.headers(Authorization=f"Bearer {token}")
        )


async def page(plane: Plane, gateway: Service, origin: str = ORIGIN, **tenant: Any) -> Page:
    """Return an allowed page of a new tenant's."""
    made = await plane.tenant(**{"kind": "widget", "allowed_origins": (ORIGIN,), "tools": (), **tenant})
    return Page(plane, gateway, made, origin)


async def project_key(plane: Plane, tenant: Tenant, **changed: Any) -> None:
    """Change the tenant's key as the control plane does: the projection, then the push."""
    digest = api_keys.digest(tenant.key)
    record = msgspec.structs.replace(tenant.key_record, **changed)
    await plane.redis.set(keys.api_key(digest), msgspec.json.encode(record))
    await plane.redis.publish(keys.KEY_CHANGED_CHANNEL, digest)


async def project_instance(plane: Plane, tenant: Tenant, **changed: Any) -> None:
    """Change the tenant's instance: its keys are announced."""
    record = msgspec.structs.replace(tenant.instance, **changed)
    await plane.redis.set(keys.instance(tenant.instance_id), msgspec.json.encode(record))
    await plane.redis.publish(keys.KEY_CHANGED_CHANNEL, api_keys.digest(tenant.key))


async def commands(redis: Redis) -> Counter[str]:
    """Return how often each command was called so far."""
    stats = await redis.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): int(told["calls"]) for name, told in stats.items()})


async def stopped(*services: Service) -> None:
    await asyncio.gather(*(service.stop() for service in services))
