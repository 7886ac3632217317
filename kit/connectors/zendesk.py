"""Zendesk: open a ticket, by the Ticketing API.

<https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#create-ticket>; an API token signs in
as `<e-mail>/token:<token>`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from kit.connectors.outbound import CallFailed, Outbound
from kit.connectors.port import Action, ConnectorFailed, Kind, decoded, said, text_of
from kit.safe_http import Reply


class ZendeskSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where tickets are opened, and as what."""

    subdomain: Annotated[
        str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", description="Of <subdomain>.zendesk.com")
    ]
    priority: Literal["low", "normal", "high", "urgent"] = "normal"
    tags: Annotated[tuple[Annotated[str, Meta(pattern=r"^[\w-]{1,80}$")], ...], Meta(max_length=20)] = ()


class ZendeskCredentials(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent's e-mail address and an API token."""

    email: Annotated[str, Meta(pattern=r"^[^\s@:/]{1,64}@[^\s@:/]{1,190}$")]
    api_token: Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{10,200}$")]


class Zendesk:
    """One account."""

    def __init__(
        self, name: str, settings: ZendeskSettings, credentials: ZendeskCredentials, outbound: Outbound
    ) -> None:
        self._settings = settings
        signed = b64encode(f"{credentials.email}/token:{credentials.api_token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {signed}"}
        self._outbound = outbound
        own = outbound.settings.zendesk_base_url.rstrip("/")
        self._base = own or f"https://{settings.subdomain}.zendesk.com"

    def actions(self) -> list[Action]:
        texts = {
            "subject": "What it is about, in a few words",
            "body": "What the visitor needs, with all that an agent has to know",
            "requester_name": "The visitor's name",
            "requester_email": "The visitor's e-mail address",
        }
        return [
            Action(
                "zendesk_create_ticket",
                "Open a support ticket for a person to answer.",
                {
                    "type": "object",
                    "properties": {
                        name: {"type": "string", "description": what} for name, what in texts.items()
                    },
                    "required": ["subject", "body"],
                },
                self._create,
            )
        ]

    async def test(self) -> str:
        reply = await self._call("GET", "/api/v2/users/me.json")
        answer = decoded(reply.body) if reply.status == 200 else None
        user = answer.get("user") if isinstance(answer, dict) else None
        # Zendesk tells strangers who they are, too: nobody.
        if not isinstance(user, dict) or user.get("id") is None:
            raise ConnectorFailed("unauthorized", "Zendesk does not accept the e-mail address and token")
        return f"connected as {said(user.get('email'), 100)}"

    async def _create(self, arguments: Mapping[str, Any]) -> str:
        ticket: dict[str, Any] = {
            "subject": text_of(arguments, "subject", most=150),
            "comment": {"body": text_of(arguments, "body", most=16_000)},
            "priority": self._settings.priority,
        }
        if self._settings.tags:
            ticket["tags"] = list(self._settings.tags)
        email = text_of(arguments, "requester_email", most=254, required=False)
        name = text_of(arguments, "requester_name", most=100, required=False)
        if email:
            # A requester that Zendesk does not know yet needs a name.
            ticket["requester"] = {"name": name or email.partition("@")[0], "email": email}
        reply = await self._call("POST", "/api/v2/tickets.json", {"ticket": ticket})
        _judge(reply)
        answer = decoded(reply.body)
        made = answer.get("ticket") if isinstance(answer, dict) else None
        if not isinstance(made, dict) or not isinstance(made.get("id"), int):
            raise ConnectorFailed("bad_answer", "Zendesk did not say which ticket it opened")
        return f"opened ticket {made['id']}"

    async def _call(self, method: str, path: str, body: Any = None) -> Reply:
        try:
            return await self._outbound.json(method, self._base + path, self._headers, body)
        except CallFailed as error:
            raise ConnectorFailed(error.code, str(error)) from error


def _judge(reply: Reply) -> None:
    if reply.status in (401, 403):
        raise ConnectorFailed("unauthorized", "Zendesk does not accept the e-mail address and token")
    if reply.status != 201:
        answer = decoded(reply.body) if reply.body[:1] == b"{" else {}
        told = said(answer.get("description") or answer.get("error"))
        raise ConnectorFailed("refused", f"Zendesk answered {reply.status}: {told}")


KIND = Kind(
    "zendesk",
    "Zendesk",
    "Open support tickets for people to answer.",
    ZendeskSettings,
    ZendeskCredentials,
    Zendesk,
    for_visitors=True,
)
