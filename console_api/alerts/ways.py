"""The ways an alert goes out: mail, Slack, a signed webhook. Each raises `NotTaken`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from console_api.alerts import wording
from console_api.alerts.kinds import ChannelKind
from console_api.alerts.wording import Said
from kit.connectors.outbound import CallFailed, Outbound
from kit.connectors.port import ConnectorFailed
from kit.connectors.slack import Slack, SlackCredentials, SlackSettings, escaped
from kit.connectors.webhook import signed, signing_key
from kit.mail import Mail, Mailer, MailFailed

_GONE = 410


class NotTaken(Exception):
    """A message was not taken; `final`: it will not be taken later either. Its text holds no credential."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


class NoWay(Exception):
    """There is no way to send it, through nobody's fault: no mail server, nobody to write to."""


@dataclass(frozen=True)
class Target:
    """A channel, opened. `settings` may be shown, `secrets` may not."""

    kind: ChannelKind
    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """What is sent. `data`: the alert as receivers of webhooks get it."""

    message_id: str
    event_type: str
    said: Said
    org_name: str
    at_ms: int
    data: Mapping[str, Any]


class Ways:
    """Sends messages to targets. `mailer`: `None` where no mail server is set up."""

    def __init__(self, mailer: Mailer | None, outbound: Outbound, console_url: str) -> None:
        self._mailer = mailer
        self._outbound = outbound
        self._console_url = console_url

    @property
    def mails(self) -> bool:
        return self._mailer is not None

    async def send(self, target: Target, message: Message) -> str:
        """Send a message; return what went wrong beside that, if anything. Raises `NotTaken`, `NoWay`."""
        match target.kind:
            case "email":
                return await self._mail(target.settings["addresses"], message)
            case "slack":
                return await self._slack(target, message)
            case _:
                return await self._webhook(target.secrets, message)

    async def _mail(self, addresses: Sequence[str], message: Message) -> str:
        if self._mailer is None:
            raise NoWay("No mail server is set up here.")
        if not addresses:
            raise NoWay("Nobody to write to has an e-mail address.")
        texts = (message.said, message.org_name, self._console_url)
        mail = Mail(
            message.message_id,
            addresses,
            message.said.title,
            wording.as_text(*texts),
            wording.as_html(*texts),
            message.at_ms,
        )
        try:
            refused = await self._mailer.send(mail)
        except MailFailed as error:
            raise NotTaken(str(error), final=error.final) from error
        return "; ".join(f"{address}: {why}" for address, why in refused.items())

    async def _slack(self, target: Target, message: Message) -> str:
        text = wording.as_text(message.said, message.org_name, self._console_url)
        url = target.secrets.get("webhook_url")
        if url is None:
            await self._slack_bot(target, text)
            return ""
        try:
            # An incoming webhook: `ok`, or a status with a word such as `no_service`.
            reply = await self._outbound.json("POST", url, {}, {"text": escaped(text)})
        except CallFailed as error:
            raise NotTaken(str(error)) from error
        if reply.status != 200:
            why = reply.body[:60].decode("ascii", "replace")
            raise NotTaken(f"Slack answered {reply.status}: {why}", final=reply.status in (404, _GONE))
        return ""

    async def _slack_bot(self, target: Target, text: str) -> None:
        settings = SlackSettings(target.settings["channel"])
        credentials = SlackCredentials(target.secrets["bot_token"])
        try:
            await Slack("alerts", settings, credentials, self._outbound).post(text)
        except ConnectorFailed as error:
            raise NotTaken(str(error)) from error

    async def _webhook(self, secrets: Mapping[str, str], message: Message) -> str:
        moment = datetime.fromtimestamp(message.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        payload = msgspec.json.encode(
            {
                "type": message.event_type,
                "timestamp": moment.replace("+00:00", "Z"),
                "data": {**message.data, "title": message.said.title, "text": message.said.text},
            }
        )
        key = signing_key(secrets["secret"])
        headers = {
            "Content-Type": "application/json",
            **signed(message.message_id, message.at_ms // 1000, payload, key),
        }
        try:
            reply = await self._outbound.send("POST", secrets["url"], headers, payload)
        except CallFailed as error:
            raise NotTaken(str(error)) from error
        if not 200 <= reply.status < 300:
            # Standard Webhooks: 410 is the receiver's way to say never again.
            raise NotTaken(f"the webhook answered with status {reply.status}", final=reply.status == _GONE)
        return ""
