"""The console over the whole API: control plane on SQLite, offline payments, Valkey and ClickHouse."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import console_world
import control_world
from browser_stack import console_process, free_port
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_stack import serving
from containers import redis_at
from control_places import SQLITE
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import select
from waiting import eventually

from console_api.app import Config
from console_api.catalogue import service as catalogue
from console_api.catalogue.models import (
    AllowanceTerms,
    EntitlementTerms,
    LimitsTerms,
    PlanTerms,
    PriceTerms,
    ProductTerms,
)
from console_api.control.plane import ControlConfig
from console_api.database.engine import Database, connect
from console_api.database.migrate import migrate
from console_api.database.tables import Grant, Order
from console_api.knowledge.running import KnowledgeConfig
from console_api.payments.running import PaymentsConfig
from kit import clickhouse_client, redis_client
from kit.clock import now_ms
from kit.settings import (
    ClickHouseSettings,
    ConnectorSettings,
    ConsoleApiSettings,
    ControlSettings,
    EmbeddingSettings,
    KafkaSettings,
    KnowledgeSettings,
    PaymentsSettings,
    SaleorSettings,
    SecretsSettings,
    StripeSettings,
    WebhookSettings,
)
from schemas import keys
from schemas.partitioning import partition_of

CREDIT = 1_000_000
_HOUR_MS = 3_600_000
_NOWHERE = "127.0.0.1:1"
# The outbox looks for it all the time, and would say so in each test's report.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@dataclass
class Rig:
    """An org with an instance, a shop to buy at, and the console in front of it."""

    console_url: str
    api_url: str
    control: control_world.World
    world: console_world.World
    clickhouse: AsyncClient
    redis: Redis

    async def token(self, role: str = "owner", org_id: str | None = None) -> str:
        """Return an access token; an empty `org_id` is the whole tenant."""
        whom = self.control.org_id if org_id is None else org_id
        headers = await control_world.add_token(self.redis, self.control.tenant_id, whom, role)  # type: ignore[arg-type]
        return headers["Authorization"].removeprefix("Bearer ")

    async def deliver_grants(self) -> None:
        """Do what the metering worker does with the grants of paid orders, as far as provisioning looks."""
        org_id = self.control.org_id
        # Of an org that has credits already, too: those of the order are what is waited for.
        before = (Order.org_id == org_id, Order.status == "paid", Order.step.in_(("instance", "credits")))
        ids: list[str] = []

        async def granted() -> bool:
            async with self.control.database.reading() as session:
                due = (await session.scalars(select(Order.order_id).where(*before))).all()
                ids[:] = (await session.scalars(select(Grant.grant_id).where(Grant.org_id == org_id))).all()
            return bool(ids) and not due

        await eventually(granted, "credits are granted")
        partition = partition_of(org_id, KafkaSettings().partitions)
        await self.redis.sadd(keys.wallet_grants(partition, org_id), *ids)

    async def use(self, days: int = 14, runs_an_hour: int = 2, seed: int = 7) -> None:
        """Let the instance have been used: runs and ledger entries, the same for the same seed."""
        chance = random.Random(seed)
        now = now_ms()
        runs = []
        for hour in range(days * 24):
            for _ in range(chance.randint(0, runs_an_hour * 2)):
                failed = chance.random() < 0.04
                tokens = chance.randint(200, 2_400)
                lasted = int(chance.lognormvariate(7, 0.6))
                began = now - hour * _HOUR_MS - chance.randint(60_000, _HOUR_MS)
                runs.append(
                    self.world.run(
                        started_at_ms=began,
                        closed_at_ms=began + lasted,
                        duration_ms=lasted,
                        status="failed" if failed else "completed",
                        error_code="upstream_failed" if failed else "",
                        model=chance.choice(["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]),
                        channel=chance.choice(["api", "widget"]),
                        tokens_in=tokens,
                        tokens_out=tokens // 3,
                        tool_calls=chance.randint(0, 2),
                        charged_micro=tokens * 120,
                    )
                )
        await self.world.store(self.clickhouse, *runs)
        entries = [
            self.world.entry(run.run_id, -run.charged_micro, occurred_at_ms=run.started_at_ms) for run in runs
        ]
        await self.world.record(self.clickhouse, *entries)


@asynccontextmanager
async def rig(
    data_dir: Path,
    redis_url: str,
    clickhouse: ClickHouseSettings,
    *,
    gateway_url: str = "http://127.0.0.1:9",
    settings: dict[str, str] | None = None,
    stripe: StripeSettings | None = None,
) -> AsyncIterator[Rig]:
    """Serve an org of its own until the block ends."""
    port = free_port()  # buyers come back to it
    payments = PaymentsConfig(
        WebhookSettings(),
        stripe or StripeSettings(),
        SaleorSettings(),
        PaymentsSettings(dummy=True, return_url=f"http://127.0.0.1:{port}/account/orders"),
    )
    database = connect(SQLITE, data_dir)
    await migrate(database)
    control = await control_world.World.create(database)
    control.clock.at_ms = now_ms()
    redis = redis_client.connect(redis_at(redis_url))
    warehouse = await clickhouse_client.connect(clickhouse)
    world = console_world.World(redis, control.tenant_id, control.org_id, "", control.instance_id)
    await _stock(database, control.tenant_id)
    try:
        async with (
            serving(_config(data_dir, redis_url, clickhouse, payments)) as api_url,
            console_process(
                api_url,
                data_dir,
                settings={"RUNMETER_CONSOLE_GATEWAY_URL": gateway_url, **(settings or {})},
                port=port,
            ) as console_url,
        ):
            yield Rig(console_url, api_url, control, world, warehouse, redis)
    finally:
        await warehouse.close()
        await redis.aclose()
        await database.close()


def _config(
    data_dir: Path, redis_url: str, clickhouse: ClickHouseSettings, payments: PaymentsConfig
) -> Config:
    return Config(
        api=ConsoleApiSettings(live_interval_ms=50, live_heartbeat_s=1, live_max_lifetime_s=60),
        redis=redis_at(redis_url),
        clickhouse=clickhouse,
        # Away, which must not matter: it is what the workers are told by.
        kafka=KafkaSettings(bootstrap=_NOWHERE),
        control=ControlConfig(
            SQLITE,
            SecretsSettings(),
            ControlSettings(service_token=SecretStr("service-token"), relay_poll_ms=50),
            data_dir,
        ),
        # Sources are taken and kept; nobody reads them.
        knowledge=KnowledgeConfig(KnowledgeSettings(), EmbeddingSettings(), data_dir),
        # Third parties of tests are on this machine.
        connectors=ConnectorSettings(private_hosts="127.0.0.1"),
        payments=payments,
    )


async def _stock(database: Database, tenant_id: str) -> None:
    """Offer two plans of an agent, and a pack of credits."""
    at_ms = now_ms()
    products = {
        "support": ProductTerms(
            name="Support agent",
            description="Answers your customers' questions from your own documents, day and night.",
        ),
        "credits": ProductTerms(name="Credits", kind="credits"),
    }
    starter = EntitlementTerms(
        models=["gpt-4o-mini"], tools=["calculator"], limits=LimitsTerms(requests_per_minute=60)
    )
    pro = EntitlementTerms(
        models=["gpt-4o-mini", "gpt-4o"],
        tools=["calculator", "http"],
        limits=LimitsTerms(requests_per_minute=600),
    )
    plans = {
        "support-starter": PlanTerms(
            product="support",
            name="Starter",
            entitlements=starter,
            allowance=AllowanceTerms(amount_micro=500 * CREDIT, every="month"),
            prices=[PriceTerms(currency="usd", amount_minor=1_900, every="month")],
        ),
        "support-pro": PlanTerms(
            product="support",
            name="Pro",
            entitlements=pro,
            allowance=AllowanceTerms(
                amount_micro=5_000 * CREDIT, every="month", rollover_cap_micro=1_000 * CREDIT
            ),
            credits_once_micro=250 * CREDIT,
            prices=[
                PriceTerms(currency="usd", amount_minor=9_900, every="month"),
                PriceTerms(currency="usd", amount_minor=99_000, every="year"),
            ],
        ),
        "pack-1000": PlanTerms(
            product="credits",
            name="1,000 credits",
            entitlements=starter,
            credits_once_micro=1_000 * CREDIT,
            prices=[PriceTerms(currency="usd", amount_minor=2_500, every="once")],
        ),
    }
    async with database.writing() as session:
        for code, product in products.items():
            await catalogue.ensure_product(session, tenant_id, code, product, actor="test", at_ms=at_ms)
        for code, plan in plans.items():
            await catalogue.ensure_plan(session, tenant_id, code, plan, actor="test", at_ms=at_ms)
