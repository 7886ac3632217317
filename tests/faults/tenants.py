"""Organisations of the harness, written where the control plane would put them."""

from __future__ import annotations

import msgspec
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from kit import api_keys, clock
from schemas import keys, topics
from schemas.directory import ApiKeyRecord, InstanceRecord
from schemas.events import GrantEvent, encode
from schemas.partitioning import partition_of
from stack.seed import DEMO_ORIGIN, DemoInstance

MODEL = "gpt-4o-mini"


async def add_org(
    redis: Redis,
    producer: AIOKafkaProducer,
    tenant_id: str,
    credits_micro: int,
    *,
    partitions: int,
    tools: tuple[str, ...] = ("calculator", "current_time"),
) -> tuple[str, DemoInstance]:
    """Add an org with one instance and a grant; return its id and the instance with its keys."""
    org_id = clock.new_id("org")
    instance = DemoInstance(
        instance_id=clock.new_id("inst"),
        name="An agent",
        default_model=MODEL,
        api_key=api_keys.mint("sk").key,
        widget_key=api_keys.mint("wk").key,
    )
    whose = {"tenant_id": tenant_id, "org_id": org_id, "instance_id": instance.instance_id}
    record = InstanceRecord(
        **whose,
        name=instance.name,
        status="active",
        default_model=MODEL,
        models=(MODEL,),
        tools=tools,
        created_at_ms=clock.now_ms(),
    )
    await redis.set(keys.instance(record.instance_id), msgspec.json.encode(record))
    await redis.sadd(keys.org_instances(org_id), record.instance_id)
    for kind, key in (("secret", instance.api_key), ("widget", instance.widget_key)):
        stored = ApiKeyRecord(
            **whose,
            key_id=f"key_{key.split('_')[2]}",
            kind=kind,
            allowed_origins=(DEMO_ORIGIN,) if kind == "widget" else (),
        )
        await redis.set(keys.api_key(api_keys.digest(key)), msgspec.json.encode(stored))
    grant = GrantEvent(
        grant_id=f"grant-{org_id}",
        tenant_id=tenant_id,
        org_id=org_id,
        kind="purchase",
        amount_micro=credits_micro,
        occurred_at_ms=clock.now_ms(),
    )
    await producer.send_and_wait(
        topics.GRANTS.name, encode(grant), key=org_id.encode(), partition=partition_of(org_id, partitions)
    )
    return org_id, instance
