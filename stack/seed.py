"""The demo's tenant: one organisation with three instances, their keys and credits.

Its keys are those of `stack.access`. Everything else comes about as a purchase would have it: in the control
plane's database, and from there through its outbox to Redis and Kafka.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.credits import service as credits
from console_api.control.directory import prices
from console_api.control.directory import service as directory
from console_api.control.directory.models import Configuration
from console_api.control.outbox.kafka_sink import KafkaSink
from console_api.control.outbox.relay import Relay
from console_api.control.projections.service import Projector
from console_api.database.engine import Database, connect
from console_api.database.migrate import migrate
from console_api.database.tables import Org
from console_api.keys import repository as api_key_rows
from console_api.keys import service as minting
from console_api.keys.models import NewKey
from kit import api_keys, clock, redis_client
from kit.projections import Writer
from kit.settings import ControlSettings, DatabaseSettings, KafkaSettings, RedisSettings, load
from metering.catalog import list_price_book
from metering.price_schedule import version_at
from metering.prices import MICRO_PER_CREDIT
from schemas import keys
from schemas.directory import AccessTokenRecord, KeyKind, Role
from schemas.events import GrantEvent
from stack import offers
from stack.access import DEMO_ORIGIN, DemoAccess, DemoInstance
from stack.issuer.users import ADA, GRACE, VIC, DevUser

_ACTOR = "demo"
_SECOND_ORG = "second-company"
_CREDITS = 100_000
_MARK_UP_PERCENT = 20
_SENT_WITHIN_S = 90.0
_ORIGINS: dict[KeyKind, list[str]] = {"secret": [], "widget": [DEMO_ORIGIN]}


async def write(
    demo: DemoAccess, redis_settings: RedisSettings, kafka: KafkaSettings, data: Path, issuer: str = ""
) -> None:
    """Make the demo's tenant and return once gateways know it. Doing it again changes nothing.

    `data` is the folder of the embedded database, used unless the settings name another one. `issuer`: the
    URL of the embedded issuer, whose users become members; empty: nobody does.
    """
    redis = redis_client.connect(redis_settings)
    database = connect(load(DatabaseSettings), data)
    try:
        await migrate(database)
        async with database.writing() as session:
            await _tenant(session, demo, issuer, clock.now_ms())
        await _sent(database, redis, kafka)
        token = AccessTokenRecord(subject="demo-owner", tenant_id=demo.tenant_id, org_id=demo.org_id)
        await redis.set(keys.access_token(api_keys.digest(demo.admin_token)), msgspec.json.encode(token))
    finally:
        await database.close()
        await redis.aclose()


async def _tenant(session: AsyncSession, demo: DemoAccess, issuer: str, now: int) -> None:
    await directory.ensure_tenant(session, demo.tenant_id, "Demo marketplace", now)
    await _prices(session, demo.tenant_id, now)
    org = await directory.ensure_org(session, demo.tenant_id, "Demo company", at_ms=now, org_id=demo.org_id)
    plan_id = await offers.put_up(session, demo.tenant_id, actor=_ACTOR, at_ms=now)
    for instance in demo.instances:
        await _instance(session, org, plan_id, instance, now)
    await credits.issue(session, _grant(demo, now), actor=_ACTOR, at_ms=now)
    if issuer:
        await _members(session, org, issuer, now)


async def _members(session: AsyncSession, org: Org, issuer: str, now: int) -> None:
    """Let the issuer's users in; the second company has nothing, and must see nothing of the first."""
    second = await directory.ensure_org(
        session, org.tenant_id, "Second company", at_ms=now, external_id=_SECOND_ORG
    )
    members: tuple[tuple[Org, DevUser, Role], ...] = (
        (org, ADA, "owner"),
        (org, VIC, "viewer"),
        (second, GRACE, "owner"),
    )
    for at, user, role in members:
        await directory.ensure_member(
            session, at, issuer=issuer, subject=user.subject, role=role, at_ms=now, email=user.email
        )


async def _prices(session: AsyncSession, tenant_id: str, now: int) -> None:
    book = list_price_book(datetime.now(UTC), _MARK_UP_PERCENT)
    await prices.publish_book(session, tenant_id, book, actor=_ACTOR, at_ms=now)
    schedule = await prices.scheduled(session, tenant_id)
    if not schedule.entries:
        await prices.schedule_book(session, tenant_id, book.version, 0, actor=_ACTOR, at_ms=now)
    elif version_at(schedule, now) != book.version:
        # List prices changed since the last start; what runs now is priced as it began.
        await prices.schedule_book(session, tenant_id, book.version, now + 1_000, actor=_ACTOR, at_ms=now)


async def _instance(session: AsyncSession, org: Org, plan_id: str, demo: DemoInstance, now: int) -> None:
    row = await directory.add_instance(
        session,
        org,
        plan_id,
        demo.name,
        actor=_ACTOR,
        at_ms=now,
        instance_id=demo.instance_id,
        status="active",
        configuration=Configuration(
            model=demo.default_model,
            system_prompt=f"You are the {demo.name.lower()} of a small company. Answer briefly.",
            greeting="Hello! How can I help?",
        ),
    )
    kinds: tuple[tuple[KeyKind, str], ...] = (("secret", demo.api_key), ("widget", demo.widget_key))
    for kind, key in kinds:
        if await api_key_rows.by_digest(session, api_keys.digest(key)) is None:
            wanted = NewKey(kind=kind, name=f"Demo {kind} key", allowed_origins=_ORIGINS[kind])
            await minting.mint(session, row, wanted, actor=_ACTOR, at_ms=now, key=key)


def _grant(demo: DemoAccess, now: int) -> GrantEvent:
    return GrantEvent(
        grant_id=f"demo-{demo.org_id}",
        tenant_id=demo.tenant_id,
        org_id=demo.org_id,
        kind="trial",
        amount_micro=_CREDITS * MICRO_PER_CREDIT,
        reason="credits of the demo",
        occurred_at_ms=now,
    )


async def _sent(database: Database, redis: Redis, kafka: KafkaSettings) -> None:
    """Send what the outbox holds, or wait until another relay has."""
    settings = load(ControlSettings)
    projector = Projector(database, Writer(redis), clock.now_ms)
    relays = (
        Relay(database, "redis", projector, settings, clock.now_ms),
        Relay(database, "kafka", KafkaSink(kafka), settings, clock.now_ms),
    )
    async with asyncio.timeout(_SENT_WITHIN_S):
        for relay in relays:
            await relay.drain()
            await relay.close()
