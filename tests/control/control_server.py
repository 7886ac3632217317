"""The console API with its control plane, on a free port over a test's own database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn
from containers import listener, redis_at
from control_places import Place
from control_world import World, add_token
from multidict import CIMultiDictProxy
from pydantic import SecretStr
from redis.asyncio import Redis
from starlette.routing import BaseRoute

from console_api.alerts.running import AlertsConfig
from console_api.app import Config, create_app
from console_api.control.plane import ControlConfig
from console_api.knowledge.running import KnowledgeConfig
from console_api.payments.running import PaymentsConfig
from kit.keep_alive import KEEP_ALIVE_S
from kit.settings import (
    ClickHouseSettings,
    ConnectorSettings,
    ConsoleApiSettings,
    ControlSettings,
    KafkaSettings,
    OidcSettings,
    SecretsSettings,
)
from schemas.directory import Role

SERVICE_TOKEN = "service-token"
#: By what is mounted. FastAPI makes each route's validators at the first request, all in half a second;
#: they know nothing of a test's stores.
_ROUTES: dict[bool, list[BaseRoute]] = {}


@dataclass
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: Any


@dataclass
class Api:
    """The API as clients of one world see it."""

    url: str
    http: aiohttp.ClientSession
    redis: Redis
    world: World
    tokens: dict[tuple[str, str, Role], dict[str, str]] = field(default_factory=dict)

    async def headers(self, role: Role, org_id: str | None = None, tenant_id: str = "") -> dict[str, str]:
        """Return the headers of a caller; an empty `org_id` is the whole tenant."""
        whom = (tenant_id or self.world.tenant_id, self.world.org_id if org_id is None else org_id, role)
        if whom not in self.tokens:
            self.tokens[whom] = await add_token(self.redis, *whom)
        return self.tokens[whom]

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        role: Role = "owner",
        **extra: str,
    ) -> Answer:
        sent = {**(headers or await self.headers(role)), **extra}
        url = f"{self.url}/api/v1{path}"
        async with self.http.request(method, url, json=body, headers=sent) as answer:
            text = await answer.text()
            return Answer(
                answer.status, answer.headers, (await answer.json(content_type=None)) if text else None
            )


@asynccontextmanager
async def serving(
    place: Place,
    redis_url: str,
    kafka: str,
    world: World,
    payments: PaymentsConfig | None = None,
    knowledge: KnowledgeConfig | None = None,
    connectors: ConnectorSettings | None = None,
    clickhouse_url: str = "http://127.0.0.1:1",
    clickhouse_database: str = "runmeter",
    oidc: OidcSettings | None = None,
    secrets: SecretsSettings | None = None,
    alerts: AlertsConfig | None = None,
) -> AsyncIterator[str]:
    """Serve the API until the block ends; yield its base URL."""
    config = Config(
        api=ConsoleApiSettings(),
        redis=redis_at(redis_url),
        clickhouse=ClickHouseSettings(url=clickhouse_url, database=clickhouse_database),
        kafka=KafkaSettings(bootstrap=kafka),
        control=ControlConfig(
            place.settings,
            secrets or SecretsSettings(),
            ControlSettings(service_token=SecretStr(SERVICE_TOKEN), relay_poll_ms=50),
            place.data_dir,
        ),
        payments=payments,
        knowledge=knowledge,
        connectors=connectors or ConnectorSettings(),
        oidc=oidc,
        alerts=alerts or AlertsConfig(),
    )
    listening = listener()
    app = create_app(config, world.clock)
    app.router.routes = _ROUTES.setdefault(config.knowledge is not None, app.router.routes)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_keep_alive=KEEP_ALIVE_S))
    task = asyncio.create_task(server.serve([listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()
