"""The demo's tenant: one organisation with three instances, their keys and credits.

The plain keys are kept in `<data>/demo.json`, readable by its owner only, so that they are the same after a
restart. Everything else goes where the control plane would put it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from kit import api_keys, clock, redis_client
from kit.publisher import new_producer
from kit.settings import KafkaSettings, RedisSettings, StackSettings, load
from metering.catalog import list_price_book
from metering.price_schedule import Entry, PriceSchedule
from metering.prices import MICRO_PER_CREDIT
from schemas import keys, topics
from schemas.directory import AccessTokenRecord, ApiKeyRecord, InstanceRecord, KeyKind
from schemas.events import GrantEvent, encode
from schemas.partitioning import partition_of

_CREDITS = 100_000
_MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "claude-sonnet-4-5")
_MARK_UP_PERCENT = 20


class DemoInstance(Struct, frozen=True, kw_only=True):
    """One purchased agent, with the keys that open it."""

    instance_id: str
    name: str
    default_model: str
    api_key: str
    widget_key: str


class DemoAccess(Struct, frozen=True, kw_only=True):
    """Development credentials; `instance_id`, `api_key` and `widget_key` are the first instance's."""

    tenant_id: str
    org_id: str
    instance_id: str
    api_key: str
    widget_key: str
    admin_token: str
    instances: tuple[DemoInstance, ...]


def access(data_dir: Path) -> DemoAccess:
    """Return the data folder's demo credentials, made on first use."""
    path = data_dir / "demo.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=DemoAccess)
    instances = tuple(
        DemoInstance(
            instance_id=clock.new_id("inst"),
            name=name,
            default_model=model,
            api_key=api_keys.mint("sk").key,
            widget_key=api_keys.mint("wk").key,
        )
        for name, model in (
            ("Support agent", "gpt-4o-mini"),
            ("Research assistant", "gpt-4.1"),
            ("Sales concierge", "claude-sonnet-4-5"),
        )
    )
    made = DemoAccess(
        tenant_id="tenant_demo",
        org_id=clock.new_id("org"),
        instance_id=instances[0].instance_id,
        api_key=instances[0].api_key,
        widget_key=instances[0].widget_key,
        admin_token=api_keys.mint("at").key,
        instances=instances,
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(made)))
    return made


async def seed() -> DemoAccess:
    """Seed the stack of the settings, and return its demo credentials."""
    demo = access(load(StackSettings).data_dir)
    await write(demo, load(RedisSettings), load(KafkaSettings))
    return demo


async def write(demo: DemoAccess, redis_settings: RedisSettings, kafka: KafkaSettings) -> None:
    """Write the demo's projections and grant its credits. Doing it again changes nothing."""
    redis = redis_client.connect(redis_settings)
    try:
        await _prices(redis, demo.tenant_id)
        for instance in demo.instances:
            await _instance(redis, demo, instance)
        token = AccessTokenRecord(subject="demo-owner", tenant_id=demo.tenant_id, org_id=demo.org_id)
        await redis.set(keys.access_token(api_keys.digest(demo.admin_token)), msgspec.json.encode(token))
    finally:
        await redis.aclose()
    await _grant(demo, kafka)


async def _prices(redis: Redis, tenant_id: str) -> None:
    book = list_price_book(datetime.now(UTC), _MARK_UP_PERCENT)
    await redis.set(keys.price_book(book.version), msgspec.json.encode(book))
    schedule = PriceSchedule((Entry(effective_from_ms=0, version=book.version),))
    await redis.set(keys.price_schedule(tenant_id), msgspec.json.encode(schedule))


async def _instance(redis: Redis, demo: DemoAccess, instance: DemoInstance) -> None:
    record = InstanceRecord(
        instance_id=instance.instance_id,
        tenant_id=demo.tenant_id,
        org_id=demo.org_id,
        name=instance.name,
        status="active",
        default_model=instance.default_model,
        models=_MODELS,
        system_prompt=f"You are the {instance.name.lower()} of a small company. Answer briefly.",
        greeting="Hello! How can I help?",
        tools=("calculator", "current_time"),
        max_output_tokens=1_024,
        created_at_ms=clock.now_ms(),
    )
    await redis.set(keys.instance(record.instance_id), msgspec.json.encode(record))
    await redis.sadd(keys.org_instances(demo.org_id), record.instance_id)
    kinds: tuple[tuple[KeyKind, str], ...] = (("secret", instance.api_key), ("widget", instance.widget_key))
    for kind, key in kinds:
        stored = ApiKeyRecord(
            key_id=f"key_{key.split('_')[2]}",
            kind=kind,
            tenant_id=demo.tenant_id,
            org_id=demo.org_id,
            instance_id=instance.instance_id,
        )
        await redis.set(keys.api_key(api_keys.digest(key)), msgspec.json.encode(stored))


async def _grant(demo: DemoAccess, kafka: KafkaSettings) -> None:
    grant = GrantEvent(
        grant_id=f"demo-{demo.org_id}",
        tenant_id=demo.tenant_id,
        org_id=demo.org_id,
        kind="trial",
        amount_micro=_CREDITS * MICRO_PER_CREDIT,
        reason="credits of the demo",
        occurred_at_ms=clock.now_ms(),
    )
    producer = new_producer(kafka)
    await producer.start()
    try:
        await producer.send_and_wait(
            topics.GRANTS.name,
            encode(grant),
            key=demo.org_id.encode(),
            partition=partition_of(demo.org_id, kafka.partitions),
        )
    finally:
        await producer.stop()
