"""HubSpot: look contacts up, and create or change them by their e-mail address, by the CRM API v3.

<https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide>
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from kit.connectors.outbound import CallFailed, Outbound
from kit.connectors.port import Action, ConnectorFailed, Kind, decoded, said, text_of
from kit.safe_http import Reply

_EMAIL = re.compile(r"[^\s@<>]{1,64}@[^\s@<>]{1,190}\.[^\s@<>]{2,63}")
_PropertyName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
_SEARCH = "/crm/v3/objects/contacts/search"
_UPSERT = "/crm/v3/objects/contacts/batch/upsert"
_LIST = "/crm/v3/objects/contacts?limit=1"
_MAX_FOUND = 5


class HubSpotSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a contact the model sees and may write."""

    read: Annotated[tuple[_PropertyName, ...], Meta(max_length=30)] = (
        "email",
        "firstname",
        "lastname",
        "company",
        "phone",
        "lifecyclestage",
    )
    write: Annotated[tuple[_PropertyName, ...], Meta(max_length=30)] = (
        "firstname",
        "lastname",
        "company",
        "phone",
    )
    may_write: bool = True


class HubSpotCredentials(Struct, frozen=True, forbid_unknown_fields=True):
    """The access token of a private app with the scopes `crm.objects.contacts.read` and `.write`."""

    access_token: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{10,300}$")]


class HubSpot:
    """One account."""

    def __init__(
        self, name: str, settings: HubSpotSettings, credentials: HubSpotCredentials, outbound: Outbound
    ) -> None:
        self._settings = settings
        self._headers = {"Authorization": f"Bearer {credentials.access_token}"}
        self._outbound = outbound

    def actions(self) -> list[Action]:
        email = {"type": "string", "description": "The contact's e-mail address"}
        find = Action(
            "hubspot_find_contact",
            "Look up a contact in HubSpot by e-mail address.",
            {"type": "object", "properties": {"email": email}, "required": ["email"]},
            self._find,
        )
        if not self._settings.may_write:
            return [find]
        writable = {name: {"type": "string"} for name in self._settings.write}
        save = Action(
            "hubspot_save_contact",
            "Create a contact in HubSpot, or change the one with that e-mail address.",
            {"type": "object", "properties": {"email": email, **writable}, "required": ["email"]},
            self._save,
        )
        return [find, save]

    async def test(self) -> str:
        _judge(await self._call("GET", _LIST))
        return "connected; contacts can be read"

    async def _find(self, arguments: Mapping[str, Any]) -> str:
        condition = {"propertyName": "email", "operator": "EQ", "value": _email(arguments)}
        reply = await self._call(
            "POST",
            _SEARCH,
            {
                "filterGroups": [{"filters": [condition]}],
                "properties": list(self._settings.read),
                "limit": _MAX_FOUND,
            },
        )
        _judge(reply)
        found = [_told(item, self._settings.read) for item in _results(reply)]
        return "\n".join(found) or "There is no contact with that address."

    async def _save(self, arguments: Mapping[str, Any]) -> str:
        email = _email(arguments)
        named = {
            name: text_of(arguments, name, most=1_000) for name in self._settings.write if arguments.get(name)
        }
        reply = await self._call(
            "POST",
            _UPSERT,
            {"inputs": [{"idProperty": "email", "id": email, "properties": {**named, "email": email}}]},
        )
        _judge(reply)
        results = _results(reply)
        return "created" if results and results[0].get("new") is True else "saved"

    async def _call(self, method: str, path: str, body: Any = None) -> Reply:
        url = self._outbound.settings.hubspot_base_url.rstrip("/") + path
        try:
            return await self._outbound.json(method, url, self._headers, body)
        except CallFailed as error:
            raise ConnectorFailed(error.code, str(error)) from error


def _email(arguments: Mapping[str, Any]) -> str:
    email = text_of(arguments, "email", most=254)
    if not _EMAIL.fullmatch(email):
        raise ConnectorFailed("bad_arguments", "`email` must be an e-mail address")
    return email


def _judge(reply: Reply) -> None:
    if reply.status in (401, 403):
        raise ConnectorFailed("unauthorized", "HubSpot does not accept the access token, or it lacks a scope")
    # 207: some of a batch failed; ours has one.
    if reply.status not in (200, 201):
        answer = decoded(reply.body) if reply.body[:1] == b"{" else {}
        raise ConnectorFailed("refused", f"HubSpot answered {reply.status}: {said(answer.get('message'))}")


def _results(reply: Reply) -> list[dict[str, Any]]:
    answer = decoded(reply.body)
    found = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ConnectorFailed("bad_answer", "HubSpot answered with something else than contacts")
    return found


def _told(contact: Mapping[str, Any], names: tuple[str, ...]) -> str:
    properties = contact.get("properties")
    if not isinstance(properties, dict):
        return ""
    return "; ".join(f"{name}: {said(properties[name], 200)}" for name in names if properties.get(name))


KIND = Kind(
    "hubspot",
    "HubSpot",
    "Look up contacts by e-mail address, and create or change them.",
    HubSpotSettings,
    HubSpotCredentials,
    HubSpot,
)
