"""A tenant with an org, a plan and an instance, made by the steps that provisioning uses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec
from redis.asyncio import Redis
from sqlalchemy import select
from waiting import eventually

from console_api.catalogue import service as catalogue
from console_api.catalogue.models import EntitlementTerms, LimitsTerms, PlanTerms, ProductTerms
from console_api.control.credits import service as credits
from console_api.control.directory import service as directory
from console_api.database.engine import Database
from console_api.database.tables import AuditEntry, OutboxRow
from kit.clock import new_id
from schemas import keys
from schemas.directory import AccessTokenRecord, InstanceRecord, Role
from schemas.events import GrantEvent

NOW = 1_790_000_000_000


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    at_ms: int = NOW

    def __call__(self) -> int:
        return self.at_ms


@dataclass
class World:
    database: Database
    clock: Clock = field(default_factory=Clock)
    tenant_id: str = field(default_factory=lambda: new_id("tenant"))
    org_id: str = ""
    plan_id: str = ""
    instance_id: str = ""

    @classmethod
    async def create(cls, database: Database, tenant_id: str = "") -> World:
        world = cls(database)
        world.tenant_id = tenant_id or world.tenant_id
        async with database.writing() as session:
            await directory.ensure_tenant(session, world.tenant_id, "A marketplace", NOW)
            org = await directory.ensure_org(session, world.tenant_id, "A buyer", at_ms=NOW)
            world.org_id = org.org_id
        await world.put_plan()
        world.instance_id = await world.add_instance("Support agent")
        return world

    def terms(self, **changes: Any) -> PlanTerms:
        entitlements: dict[str, Any] = {
            "models": ["gpt-4o-mini", "gpt-4o"],
            "tools": ["calculator"],
            "channels": ["api", "widget"],
            "limits": LimitsTerms(requests_per_minute=60),
        }
        return PlanTerms(
            product="agent", name="Starter", entitlements=EntitlementTerms(**{**entitlements, **changes})
        )

    async def put_plan(self, **changes: Any) -> str:
        async with self.database.writing() as session:
            product = ProductTerms(name="Agent")
            await catalogue.ensure_product(
                session, self.tenant_id, "agent", product, actor="test", at_ms=self.clock()
            )
            plan = await catalogue.ensure_plan(
                session, self.tenant_id, "starter", self.terms(**changes), actor="test", at_ms=self.clock()
            )
            self.plan_id = plan.plan_id
            return plan.plan_id

    async def add_instance(self, name: str, **options: Any) -> str:
        async with self.database.writing() as session:
            org = await directory.ensure_org(
                session, self.tenant_id, "A buyer", org_id=self.org_id, at_ms=self.clock()
            )
            made = await directory.add_instance(
                session,
                org,
                self.plan_id,
                name,
                actor="test",
                at_ms=self.clock(),
                **{"status": "active", **options},
            )
            return made.instance_id

    async def set_status(self, status: Any) -> bool:
        async with self.database.writing() as session:
            return await directory.set_status(
                session, self.instance_id, status, actor="test", at_ms=self.clock()
            )

    def grant(self, grant_id: str, micro: int = 5_000_000, **fields: Any) -> GrantEvent:
        return GrantEvent(
            **{
                "grant_id": grant_id,
                "tenant_id": self.tenant_id,
                "org_id": self.org_id,
                "kind": "purchase",
                "amount_micro": micro,
                "occurred_at_ms": self.clock(),
                **fields,
            }
        )

    async def issue(self, grant_id: str, micro: int = 5_000_000, **options: Any) -> bool:
        async with self.database.writing() as session:
            event = self.grant(grant_id, micro)
            return await credits.issue(session, event, actor="test", at_ms=self.clock(), **options)

    async def outbox(self, lane: str = "kafka") -> list[OutboxRow]:
        async with self.database.reading() as session:
            query = select(OutboxRow).where(OutboxRow.lane == lane).order_by(OutboxRow.seq)
            return list((await session.scalars(query)).all())

    async def audited(self, target_id: str) -> list[AuditEntry]:
        async with self.database.reading() as session:
            query = select(AuditEntry).where(AuditEntry.target_id == target_id)
            return list((await session.scalars(query.order_by(AuditEntry.audit_id))).all())


async def add_token(redis: Redis, tenant_id: str, org_id: str = "", role: Role = "owner") -> dict[str, str]:
    """Make an access token; return the headers that carry it."""
    token = new_id("token")
    record = AccessTokenRecord(subject=f"{role}@example.com", tenant_id=tenant_id, org_id=org_id, role=role)
    await redis.set(keys.access_token(sha256(token.encode()).hexdigest()), msgspec.json.encode(record))
    return {"Authorization": f"Bearer {token}"}


async def projected(redis: Redis, instance_id: str) -> InstanceRecord:
    """Return what gateways know of an instance, as soon as they know something."""

    async def there() -> bool:
        return bool(await redis.exists(keys.instance(instance_id)))

    await eventually(there, f"{instance_id} is projected")
    return msgspec.json.decode(await redis.get(keys.instance(instance_id)), type=InstanceRecord)


async def version_of(redis: Redis, key: str) -> int:
    version = json.loads(await redis.get(key))["version"]
    assert isinstance(version, int)
    return version
