"""An org that is alerted: facts as they come over Kafka, a deliverer, and receivers that check them."""

from __future__ import annotations

import hmac
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from control_places import Place
from control_world import World
from mail_server import SENDER, MailServer
from sqlalchemy import select

sys.path.append(str(Path(__file__).parents[1] / "runner"))  # third_parties

from third_parties import Asked, ThirdParty, third_party

from console_api.alerts import channels
from console_api.alerts.delivery import Deliverer
from console_api.alerts.intake import LimitsIntake
from console_api.alerts.models import NewEmail, NewSlack, NewWebhook
from console_api.alerts.ways import Ways
from console_api.auth.models import Principal
from console_api.control.directory import repository as directory
from console_api.control.plane import ControlPlane
from console_api.control.vault.seal import load_seal
from console_api.database.engine import Database
from console_api.database.tables import Alert, AlertDelivery
from console_api.metrics import Metrics
from console_api.pace import Pace
from kit.clock import new_id
from kit.connectors.outbound import Outbound
from kit.mail import Mailer, mailer_of
from kit.settings import (
    AlertSettings,
    ControlSettings,
    SecretsSettings,
    SmtpSettings,
)
from schemas.events import LimitEvent

SECRET = "whsec_" + b64encode(b"k" * 32).decode()
MICRO = 1_000_000


def wallet_event(world: World, permille: int = 800, **fields: Any) -> LimitEvent:
    """Return what the metering worker says when a share of the wallet is used."""
    start = fields.get("period_start_ms", world.clock.at_ms - 1_000_000)
    return LimitEvent(
        **{
            "event_id": f"{world.org_id}:{start}:{permille}",
            "tenant_id": world.tenant_id,
            "org_id": world.org_id,
            "scope": "org_wallet",
            "used_permille": permille,
            "used_micro": 10 * MICRO * permille // 1_000,
            "limit_micro": 10 * MICRO,
            "period_start_ms": start,
            "occurred_at_ms": world.clock.at_ms,
            **fields,
        }
    )


def cap_event(world: World, permille: int = 800, limit_micro: int = MICRO, **fields: Any) -> LimitEvent:
    """Return what the relay says when a share of an instance's daily cap is used."""
    start = world.clock.at_ms // 86_400_000 * 86_400_000
    return wallet_event(
        world,
        permille,
        **{
            "event_id": f"{world.instance_id}:instance_day:{start}:{limit_micro}:{permille}",
            "instance_id": world.instance_id,
            "scope": "instance_day",
            "limit_micro": limit_micro,
            "used_micro": limit_micro * permille // 1_000,
            "period_start_ms": start,
            **fields,
        },
    )


@dataclass
class Alerted:
    """What a test of telling and delivering works with. `settings`: of every deliverer that it makes."""

    world: World
    place: Place
    party: ThirdParty
    settings: AlertSettings = field(
        default_factory=lambda: AlertSettings(retry_min_ms=1_000, retry_max_ms=4_000, max_attempts=3)
    )
    mailer: Mailer | None = None

    def plane(self, database: Database | None = None) -> ControlPlane:
        seal = load_seal(SecretsSettings(), self.place.data_dir)
        clock, chosen = self.world.clock, database or self.world.database
        made = ControlPlane(chosen, seal, ControlSettings(), clock, Pace(9, clock), Pace(9, clock))
        made.ready.set()
        return made

    def outbound(self) -> Outbound:
        return self.party.outbound(timeout_ms=60_000)

    def intake(self, database: Database | None = None) -> LimitsIntake:
        """Return an ear, of another process if it has a database of its own."""
        chosen = database or self.world.database
        return LimitsIntake(chosen, self.settings, self.world.clock, Metrics())

    def deliverer(self, database: Database | None = None) -> Deliverer:
        ways = Ways(self.mailer, self.outbound(), self.settings.console_url)
        return Deliverer(self.plane(database), ways, self.settings, self.world.clock, Metrics())

    def principal(self, role: Any = "owner") -> Principal:
        return Principal("ada@example.com", self.world.tenant_id, self.world.org_id, role)

    def mails_to(self, server: MailServer) -> None:
        """Have mail go to that server."""
        self.mailer = mailer_of(SmtpSettings(host="127.0.0.1", port=server.port, tls="none", sender=SENDER))

    async def owner(self, email: str) -> None:
        """Let somebody own the org."""
        whose, now = new_id("sub"), self.world.clock()
        async with self.world.database.writing() as session:
            user_id = new_id("user")
            await directory.add_user(
                session,
                user_id=user_id,
                tenant_id=self.world.tenant_id,
                issuer="test",
                subject=whose,
                email=email,
                at_ms=now,
            )
            await directory.add_membership(session, self.world.org_id, user_id, "owner", now)

    async def channel(self, wanted: NewEmail | NewSlack | NewWebhook | None = None) -> str:
        """Make a channel, by default a signed webhook at the third party; return its id."""
        wanted = wanted or NewWebhook(
            kind="webhook", name="Hook", url=f"{self.party.url}/hook", secret=SECRET
        )
        async with self.world.database.writing() as session:
            made = await channels.create(
                session, self.plane(), self.principal(), self.slack_here(), wanted, mails=True
            )
        return made.channel_id

    def slack_here(self) -> AlertSettings:
        return self.settings.model_copy(update={"slack_hooks_url": f"{self.party.url}/services/"})

    async def take(self, *events: LimitEvent, database: Database | None = None) -> int:
        return await self.intake(database).take(events)

    async def alerts(self) -> list[Alert]:
        async with self.world.database.reading() as session:
            query = select(Alert).where(Alert.org_id == self.world.org_id).order_by(Alert.alert_id)
            return list((await session.scalars(query)).all())

    async def deliveries(self) -> list[AlertDelivery]:
        async with self.world.database.reading() as session:
            query = select(AlertDelivery).join(Alert, Alert.alert_id == AlertDelivery.alert_id)
            query = query.where(Alert.org_id == self.world.org_id).order_by(AlertDelivery.delivery_id)
            return list((await session.scalars(query)).all())


@asynccontextmanager
async def alerted(place: Place, world: World) -> AsyncIterator[Alerted]:
    """Run a third party for an org until the block ends."""
    async with third_party() as party:
        yield Alerted(world, place, party)


def verified(asked: Asked, secret: str = SECRET) -> dict[str, Any]:
    """Return a webhook's event, having checked it as Standard Webhooks tells receivers to."""
    message_id, sent_at = asked.headers["webhook-id"], asked.headers["webhook-timestamp"]
    content = b"%b.%b.%b" % (message_id.encode(), sent_at.encode(), asked.body)
    key = b64decode(secret.removeprefix("whsec_"))
    wanted = "v1," + b64encode(hmac.new(key, content, sha256).digest()).decode()
    assert wanted in asked.headers["webhook-signature"].split(" ")
    event = msgspec.json.decode(asked.body)
    assert set(event) == {"type", "timestamp", "data"}
    return dict(event)


def like_slack(asked: Asked) -> web.Response:
    """Answer as Slack's incoming webhooks do."""
    if not isinstance(asked.json, dict) or not asked.json.get("text"):
        return web.Response(status=400, text="no_text")
    if set(asked.json) - {"text", "blocks"}:
        return web.Response(status=400, text="invalid_payload")
    if not asked.path.startswith("/services/T00000000/"):
        return web.Response(status=404, text="no_service")
    return web.Response(text="ok")
