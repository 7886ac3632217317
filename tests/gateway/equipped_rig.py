"""A gateway whose runner has a warehouse to search and Slack to post to."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from containers import free_ports
from cryptography.fernet import Fernet
from gateway_rig import Plane, Service, Tenant

from kit import clickhouse_client
from kit.clock import new_id
from kit.embeddings import LocalEmbedder
from kit.seal import Seal
from kit.settings import ClickHouseSettings
from kit.vectors.clickhouse import ClickHouseVectors
from kit.vectors.port import Chunk, Generation, Place
from schemas import keys
from schemas.directory import ConnectorRecord, ConnectorsRecord
from streams.warehouse import migrate

DELIVERY = "Parcels within Germany are delivered in two working days."
RETURNS = "Goods may be returned within thirty days of purchase."
SLACK_TOOL = "slack_post_support"
_KEY = Fernet.generate_key().decode()


@dataclass
class Slack:
    """A server that answers as Slack does; `asked` is what was posted to it."""

    url: str
    answer: dict[str, Any] = field(default_factory=lambda: {"ok": True})
    asked: list[Any] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        return web.json_response(self.answer)


@contextlib.asynccontextmanager
async def slack_server() -> AsyncIterator[Slack]:
    port = free_ports("slack")["slack"]
    made = Slack(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/{path:.*}", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield made
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def warehouse_of(clickhouse_url: str) -> Iterator[ClickHouseSettings]:
    settings = ClickHouseSettings(url=clickhouse_url, database=f"gateway_{uuid.uuid4().hex[:12]}")
    migrate.bring_up_to_date(settings)
    yield settings
    admin = clickhouse_client.connect_sync(settings, "default")
    admin.command(f"DROP DATABASE {settings.database}")
    admin.close()


@dataclass(frozen=True)
class Equipped:
    """The gateway, and what its runner reaches."""

    plane: Plane
    gateway: Service
    warehouse: ClickHouseSettings
    slack: Slack

    async def learn(self, tenant: Tenant) -> None:
        """Let an instance know two things."""
        store, embedder, texts = ClickHouseVectors(self.warehouse), LocalEmbedder(16), [DELIVERY, RETURNS]
        place = Place(
            tenant_id=tenant.instance.tenant_id, instance_id=tenant.instance_id, source_id=new_id("src")
        )
        generation = Generation(place=place, version=1, attempt="a", model=embedder.model, chunks=len(texts))
        chunks = [
            Chunk(ordinal=n, text=text, tokens=10, title="Handbook", section="Shop", page=n + 1)
            for n, text in enumerate(texts)
        ]
        await store.upsert(generation, chunks, (await embedder.embed(texts)).vectors)
        await store.activate(generation)
        await store.close()

    async def connect_slack(self, tenant: Tenant) -> None:
        """Let an instance post to Slack."""
        secret_id = new_id("secret")
        record = ConnectorRecord(
            connector_id=new_id("conn"),
            kind="slack",
            name="Support",
            settings={"channel": "#help"},
            secret_id=secret_id,
            sealed=Seal((_KEY,)).close(secret_id, '{"bot_token":"xoxb-1234567890-abcdef"}'),
            for_visitors=True,
        )
        told = ConnectorsRecord(
            instance_id=tenant.instance_id, tenant_id=tenant.instance.tenant_id, connectors=(record,)
        )
        await self.plane.redis.set(keys.connectors(tenant.instance_id), msgspec.json.encode(told))


@contextlib.asynccontextmanager
async def equip(plane: Plane, provider: Service, warehouse: ClickHouseSettings) -> AsyncIterator[Equipped]:
    async with slack_server() as slack:
        runner = await plane.runner(
            provider,
            CLICKHOUSE_URL=warehouse.url,
            CLICKHOUSE_DATABASE=warehouse.database,
            RUNNER_RETRIEVAL_TIMEOUT_MS="20000",
            SECRETS_KEYS=_KEY,
            CONNECTORS_PRIVATE_HOSTS="127.0.0.1",
            CONNECTORS_SLACK_BASE_URL=slack.url,
        )
        yield Equipped(plane, await plane.gateway(runner), warehouse, slack)
