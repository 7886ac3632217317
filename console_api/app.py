"""Make the app: clients once, features mounted, errors and edge installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from console_api import errors, operating
from console_api.alerts import running as alerting
from console_api.alerts.endpoints import router as alerts
from console_api.alerts.running import AlertsConfig
from console_api.analysts.endpoints import router as analysts
from console_api.audit.endpoints import router as audit
from console_api.auth.endpoints import router as auth
from console_api.auth.service import people_of
from console_api.catalogue.endpoints import router as catalogue
from console_api.configuration.endpoints import router as configuration
from console_api.connectors.endpoints import router as connectors
from console_api.consumers.endpoints import router as consumers
from console_api.consumers.service import ConsumerWatch
from console_api.control import plane
from console_api.control.plane import ControlConfig
from console_api.conversations import running as conversing
from console_api.conversations.endpoints import router as conversations
from console_api.corrections.endpoints import router as corrections
from console_api.dead_letters.endpoints import router as dead_letters
from console_api.edge import Edge
from console_api.grants.endpoints import router as grants
from console_api.health.endpoints import router as health
from console_api.inspection.endpoints import router as inspection
from console_api.instances import forgetting as forgotten
from console_api.instances import repository as known_instances
from console_api.instances.endpoints import router as instances
from console_api.keys.endpoints import router as keys
from console_api.knowledge import running as knowing
from console_api.knowledge.endpoints import router as knowledge
from console_api.knowledge.running import KnowledgeConfig
from console_api.ledger.endpoints import router as ledger
from console_api.live.endpoints import router as live
from console_api.live.service import LiveService
from console_api.meters.endpoints import defining as meters_defining
from console_api.meters.endpoints import router as meters
from console_api.metrics import Metrics
from console_api.orders.endpoints import router as orders
from console_api.orders.provisioning import Reached
from console_api.orgs.endpoints import router as orgs
from console_api.payments import running as payments
from console_api.payments.running import PaymentsConfig
from console_api.payments.webhooks.endpoints import router as webhooks
from console_api.prices.endpoints import router as prices
from console_api.reconciliations.endpoints import router as reconciliations
from console_api.runs.endpoints import router as runs
from console_api.stores import Stores
from console_api.subscriptions.endpoints import router as subscriptions
from console_api.team.endpoints import router as team
from console_api.topup.endpoints import router as topup
from console_api.usage.endpoints import router as usage
from console_api.wallet import repository as wallets
from console_api.wallet.endpoints import router as wallet
from console_api.warehouse import Warehouse
from kit import redis_client
from kit.clock import Clock, now_ms
from kit.connectors.outbound import Outbound
from kit.settings import (
    ClickHouseSettings,
    ConnectorSettings,
    ConsoleApiSettings,
    ConversationSettings,
    KafkaSettings,
    OidcSettings,
    RedisSettings,
    load,
)

#: What needs the control plane's database.
_CONTROL = (
    alerts,
    audit,
    catalogue,
    configuration,
    connectors,
    conversations,
    corrections,
    dead_letters,
    grants,
    keys,
    meters_defining,
    orders,
    orgs,
    prices,
    reconciliations,
    subscriptions,
    team,
    topup,
    webhooks,
)

#: What scripts of allowed origins may send and read, beyond what any may.
_REQUEST_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Runmeter-Org",
]
_ANSWER_HEADERS = ["Content-Disposition", "ETag", "Location", "Retry-After"]

DESCRIPTION = """\
Usage, runs, credits and live figures of purchased agents.

Every answer is scoped to the org of the access token (`Authorization: Bearer …`). Amounts of credits come
twice: as a decimal string and as integer micro-credits. Errors are RFC 9457 problems with a stable `code`.
"""


@dataclass(frozen=True)
class Config:
    """The settings this service reads."""

    api: ConsoleApiSettings
    redis: RedisSettings
    clickhouse: ClickHouseSettings
    kafka: KafkaSettings
    #: Without it there are usage queries only: no database, and none of its endpoints.
    control: ControlConfig | None = None
    #: Needs `control`. Without an issuer only stored tokens open anything.
    oidc: OidcSettings | None = None
    #: Needs `control`. Without it no payment provider tells us anything.
    payments: PaymentsConfig | None = None
    #: Needs `control`. Without it instances have no knowledge sources.
    knowledge: KnowledgeConfig | None = None
    connectors: ConnectorSettings = field(default_factory=ConnectorSettings)
    conversations: ConversationSettings = field(default_factory=ConversationSettings)
    alerts: AlertsConfig = field(default_factory=AlertsConfig)

    @classmethod
    def load(cls) -> Config:
        """Read the environment. Raises `SystemExit` with the variable to correct."""
        return cls(
            load(ConsoleApiSettings),
            load(RedisSettings),
            load(ClickHouseSettings),
            load(KafkaSettings),
            control=ControlConfig.load(),
            oidc=load(OidcSettings),
            payments=PaymentsConfig.load(),
            knowledge=KnowledgeConfig.load(),
            connectors=load(ConnectorSettings),
            conversations=load(ConversationSettings),
            alerts=AlertsConfig.load(),
        )


def create_app(config: Config, clock: Clock = now_ms) -> FastAPI:
    """Return the app. Its stores connect on first use, so it starts while they are away."""
    metrics = Metrics()
    app = FastAPI(
        title="Runmeter console API",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(config, clock, metrics),
    )
    for router in (
        auth,
        instances,
        usage,
        meters,
        analysts,
        runs,
        inspection,
        wallet,
        ledger,
        live,
        consumers,
        health,
    ):
        app.include_router(router)
    for router in _CONTROL if config.control else ():
        app.include_router(router)
    if config.control and config.knowledge:
        app.include_router(knowledge)
    errors.install(app)
    origins = [origin.strip() for origin in config.api.allowed_origins.split(",") if origin.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_ANSWER_HEADERS,
            max_age=600,
        )
    app.add_middleware(Edge, metrics=metrics)
    return app


def _lifespan(config: Config, clock: Clock, metrics: Metrics):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        redis = redis_client.connect(config.redis)
        warehouse = Warehouse(config.clickhouse)
        stores = Stores(redis, warehouse, config.kafka.partitions, clock, metrics)
        app.state.stores = stores
        app.state.consumers = ConsumerWatch(config.kafka, stores)
        app.state.outbound = Outbound(config.connectors)
        app.state.live = LiveService(stores, config.api)
        control = config.control and plane.running(
            config.control, redis, config.kafka, clock, metrics.older_seals.set
        )
        try:
            async with control or nullcontext() as app.state.control:
                known = config.oidc and config.oidc.issuer and app.state.control
                signing_in = people_of(config.oidc, app.state.control) if known and config.oidc else None
                paying = config.payments and payments.running(
                    config.payments,
                    app.state.control,
                    partial(wallets.available, stores),
                    Reached(
                        partial(wallets.has_grants, stores), partial(known_instances.gateways_see, stores)
                    ),
                )
                learning = config.knowledge and knowing.running(
                    config.knowledge, app.state.control, config.kafka, config.clickhouse, metrics
                )
                hearing = config.control and conversing.running(
                    config.conversations, app.state.control, redis, config.kafka
                )
                forgetting = config.knowledge and forgotten.running(
                    app.state.control, config.knowledge.knowledge.keep_ended_days
                )
                looking_after = app.state.control and operating.running(
                    app.state.control, config.kafka, metrics
                )
                telling = config.control and alerting.running(
                    config.alerts, app.state.control, stores, app.state.outbound, config.kafka
                )
                async with (
                    forgetting or nullcontext(),
                    looking_after or nullcontext(),
                    signing_in or nullcontext() as app.state.people,
                    hearing or nullcontext() as app.state.conversations,
                    paying or nullcontext() as app.state.payments,
                    learning or nullcontext() as app.state.knowledge,
                    telling or nullcontext() as app.state.alerts,
                ):
                    yield
        finally:
            await app.state.live.close()
            await redis.aclose()
            await warehouse.close()

    return lifespan
