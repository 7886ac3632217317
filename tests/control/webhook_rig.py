"""The API with payment providers, and a stand-in for orders that writes down what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import msgspec
from containers import free_ports
from control_places import Place
from control_server import Answer, Api, serving
from control_world import World
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from waiting import eventually

from console_api.control import audit
from console_api.database.tables import AuditEntry, WebhookDelivery
from console_api.payments import port
from console_api.payments.port import Fact, Outcome
from console_api.payments.running import PaymentsConfig
from kit.settings import PaymentsSettings, SaleorSettings, StripeSettings, WebhookSettings

_FactKind = TypeVar("_FactKind")


@dataclass
class Books:
    """What consumes facts: each leaves a row in the transaction it was told in."""

    #: What to say to a fact; it may raise.
    judge: Callable[[Fact], Outcome] = lambda fact: "applied"
    told: list[Fact] = field(default_factory=list)

    async def __call__(self, session: AsyncSession, fact: Fact, *, now_ms: int) -> Outcome:
        self.told.append(fact)
        audit.record(
            session,
            tenant_id="books",
            org_id="",
            actor="books",
            action="told",
            target=("fact", type(fact).__name__),
            at_ms=now_ms,
            fact=msgspec.to_builtins(fact),
        )
        return self.judge(fact)


@dataclass
class Rig:
    api: Api
    world: World
    books: Books

    async def post(self, provider: str, body: bytes, headers: dict[str, str]) -> Answer:
        url = f"{self.api.url}/api/v1/webhooks/{provider}"
        async with self.api.http.post(url, data=body, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.json(content_type=None))

    async def booked(self, kind: type[_FactKind]) -> list[_FactKind]:
        """Return the facts of a kind that were told in transactions that were committed."""
        async with self.world.database.reading() as session:
            query = select(AuditEntry).where(
                AuditEntry.actor == "books", AuditEntry.target_id == kind.__name__
            )
            rows = (await session.scalars(query.order_by(AuditEntry.at_ms, AuditEntry.audit_id))).all()
        return [msgspec.convert(row.details["fact"], kind) for row in rows]

    async def all_booked(self) -> list[Any]:
        kinds = port.Fact.__args__  # type: ignore[attr-defined]
        return [fact for kind in kinds for fact in await self.booked(kind)]

    async def deliveries(self, **fields: Any) -> list[WebhookDelivery]:
        async with self.world.database.reading() as session:
            query = select(WebhookDelivery).filter_by(**fields)
            return list((await session.scalars(query.order_by(WebhookDelivery.received_at_ms))).all())

    async def becomes(self, event_id: str, status: str) -> WebhookDelivery:
        """Wait until a delivery has a status."""

        async def has() -> bool:
            return (await self.deliveries(event_id=event_id))[0].status == status

        await eventually(has, f"{event_id} is {status}")
        return (await self.deliveries(event_id=event_id))[0]


@asynccontextmanager
async def running(
    place: Place,
    redis_url: str,
    redis: Redis,
    world: World,
    *,
    stripe: StripeSettings | None = None,
    saleor: SaleorSettings | None = None,
    webhooks: WebhookSettings | None = None,
) -> AsyncIterator[Rig]:
    """Serve the API with these providers until the block ends."""
    books = Books()
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    payments = PaymentsConfig(
        webhooks or WebhookSettings(),
        stripe or StripeSettings(),
        saleor or SaleorSettings(),
        PaymentsSettings(),
        apply=books,
    )
    async with serving(place, redis_url, nowhere, world, payments) as url, aiohttp.ClientSession() as http:
        yield Rig(Api(url, http, redis, world), world, books)


async def all_at_once(*posts: Any) -> list[Answer]:
    return list(await asyncio.gather(*posts))
