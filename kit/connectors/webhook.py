"""A webhook of the owner's own, signed as <https://www.standardwebhooks.com> has it.

The signature is the HMAC-SHA256 of `id.timestamp.body` with the secret behind `whsec_`, in base64.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from kit import clock
from kit.connectors.outbound import CallFailed, Outbound
from kit.connectors.port import Action, BadSettings, ConnectorFailed, Kind, slug

_MAX_PAYLOAD = 20_000
_MAX_TOLD = 4_000


class WebhookField(Struct, frozen=True, forbid_unknown_fields=True):
    """Something the model has to fill in."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    description: Annotated[str, Meta(max_length=300)] = ""
    required: bool = True


class WebhookSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the event goes, and when the model sends it."""

    url: Annotated[str, Meta(max_length=2_048, pattern=r"^https?://[^\s@]+$")]
    description: Annotated[
        str, Meta(min_length=1, max_length=500, description="When to send it, for the model")
    ]
    event_type: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.]{1,100}$")] = "agent.event"
    fields: Annotated[tuple[WebhookField, ...], Meta(min_length=1, max_length=20)] = (
        WebhookField("message"),
    )


class WebhookCredentials(Struct, frozen=True, forbid_unknown_fields=True):
    """What both sides sign with: `whsec_` and 24 to 64 bytes in base64."""

    secret: Annotated[str, Meta(pattern=r"^whsec_[A-Za-z0-9+/]{32,88}={0,2}$")]


class Webhook:
    """One address."""

    def __init__(
        self, name: str, settings: WebhookSettings, credentials: WebhookCredentials, outbound: Outbound
    ) -> None:
        self._name = name
        self._settings = settings
        self._key = signing_key(credentials.secret)
        self._outbound = outbound

    def actions(self) -> list[Action]:
        fields = self._settings.fields
        return [
            Action(
                f"send_{slug(self._name)}",
                self._settings.description,
                {
                    "type": "object",
                    "properties": {
                        field.name: {"type": "string", "description": field.description} for field in fields
                    },
                    "required": [field.name for field in fields if field.required],
                },
                self._send,
            )
        ]

    async def test(self) -> str:
        await self._deliver("webhook.test", {})
        return "the address took a signed event of the type webhook.test"

    async def _send(self, arguments: Mapping[str, Any]) -> str:
        data = {
            field.name: arguments[field.name] for field in self._settings.fields if field.name in arguments
        }
        lacking = [f.name for f in self._settings.fields if f.required and f.name not in data]
        if lacking:
            raise ConnectorFailed("bad_arguments", f"`{lacking[0]}` is missing")
        return await self._deliver(self._settings.event_type, data) or "sent"

    async def _deliver(self, event_type: str, data: Mapping[str, Any]) -> str:
        now_s = clock.now_ms() // 1000
        moment = datetime.fromtimestamp(now_s, UTC).isoformat().replace("+00:00", "Z")
        payload = msgspec.json.encode({"type": event_type, "timestamp": moment, "data": data})
        if len(payload) > _MAX_PAYLOAD:
            raise ConnectorFailed("bad_arguments", f"the event is larger than {_MAX_PAYLOAD} bytes")
        headers = {
            "Content-Type": "application/json",
            **signed(clock.new_id("msg"), now_s, payload, self._key),
        }
        try:
            reply = await self._outbound.send("POST", self._settings.url, headers, payload)
        except CallFailed as error:
            raise ConnectorFailed(error.code, str(error)) from error
        if not 200 <= reply.status < 300:
            raise ConnectorFailed("refused", f"the webhook answered with status {reply.status}")
        return reply.body[:_MAX_TOLD].decode("utf-8", "replace")


def signed(message_id: str, timestamp: int, payload: bytes, key: bytes) -> dict[str, str]:
    """Return the headers that say who sent a payload, and when."""
    content = b"%b.%d.%b" % (message_id.encode(), timestamp, payload)
    signature = b64encode(hmac.new(key, content, sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def signing_key(secret: str) -> bytes:
    """Return the bytes behind `whsec_`. Raises `BadSettings`."""
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise BadSettings("the secret is `whsec_` and 24 to 64 bytes in base64")
    return key


KIND = Kind(
    "webhook",
    "Webhook",
    "Send signed events to an address of your own.",
    WebhookSettings,
    WebhookCredentials,
    Webhook,
    for_visitors=True,
)
