"""Rows of an instance as they are after a while, written straight into the control plane's tables."""

from __future__ import annotations

from console_rig import Rig
from control_world import projected
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import ApiKey, Connector, KnowledgeSource, Plan, Subscription
from kit.clock import new_id, now_ms


async def new_instance(shop: Rig, name: str) -> str:
    """Return an instance that gateways know."""
    instance_id = await shop.control.add_instance(name)
    await projected(shop.redis, instance_id)
    return instance_id


def _owned(shop: Rig, instance_id: str) -> dict[str, object]:
    return {
        "tenant_id": shop.control.tenant_id,
        "org_id": shop.control.org_id,
        "instance_id": instance_id,
        "created_by": "test",
        "created_at_ms": now_ms(),
    }


def key_row(shop: Rig, instance_id: str, name: str, **fields: object) -> ApiKey:
    made: dict[str, object] = {
        "key_id": new_id("key"),
        "digest": new_id("digest"),
        "kind": "secret",
        "name": name,
        "scopes": ("runs:write",),
        "allowed_origins": (),
    }
    return ApiKey(**{**_owned(shop, instance_id), **made, **fields})


def source_row(shop: Rig, instance_id: str, **fields: object) -> KnowledgeSource:
    made: dict[str, object] = {
        "source_id": new_id("source"),
        "kind": "upload",
        "title": "A document",
        "status": "ready",
        "page_errors": (),
        "updated_at_ms": now_ms(),
    }
    return KnowledgeSource(**{**_owned(shop, instance_id), **made, **fields})


def connector_row(shop: Rig, instance_id: str, name: str, **fields: object) -> Connector:
    made: dict[str, object] = {
        "connector_id": new_id("connector"),
        "kind": "slack",
        "name": name,
        "settings": {},
        "tools": (),
        "secret_id": "",
        "updated_at_ms": now_ms(),
    }
    return Connector(**{**_owned(shop, instance_id), **made, **fields})


async def subscription_row(session: AsyncSession, shop: Rig, instance_id: str, status: str) -> Subscription:
    """Return a subscription of a plan that grants nothing."""
    owned = _owned(shop, instance_id)
    owned.pop("created_by")
    plan_id = await session.scalar(select(Plan.plan_id).where(Plan.code == "pack-1000"))
    return Subscription(
        **owned,
        subscription_id=new_id("sub"),
        plan_id=plan_id,
        provider="test",
        status=status,
        started_at_ms=now_ms(),
        updated_at_ms=now_ms(),
        paid_until_ms=now_ms() + 86_400_000,
        past_due_since_ms=0 if status == "active" else now_ms(),
    )
