"""Any JSON API that an OpenAPI document describes: the owner chooses operations, and each is a tool.

Calls go to the document's server only, whatever the model writes: parameters cannot leave their place.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta, Struct

from kit.connectors import openapi
from kit.connectors.openapi import Operation, Parameter
from kit.connectors.outbound import CallFailed, Outbound
from kit.connectors.port import MAX_TOOL_NAME, Action, BadSettings, ConnectorFailed, Kind, said, slug
from kit.safe_http import Reply

_MAX_TOLD = 16_000
_MAX_SENT = 65_536
_FORBIDDEN_HEADERS = frozenset({"host", "content-length", "connection", "transfer-encoding", "cookie"})


class RestSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """An API's document, and what of it may be used."""

    document: Annotated[dict[str, Any], Meta(description="OpenAPI 3, as JSON")]
    operations: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...],
        Meta(min_length=1, max_length=20, description="The `operationId`s that the agent may call"),
    ]
    base_url: Annotated[str, Meta(max_length=500, description="Empty: the document's first server")] = ""


class KeptRest(Struct, frozen=True):
    """What is kept of it: the operations, without the rest of the document."""

    base_url: str
    operations: tuple[Operation, ...]


class RestCredentials(Struct, frozen=True, forbid_unknown_fields=True):
    """How calls are signed in. Secrets go into headers, never into an address."""

    scheme: Literal["none", "bearer", "basic", "header"] = "none"
    token: Annotated[str, Meta(max_length=4_096, description="Of `bearer` and `header`")] = ""
    header: Annotated[str, Meta(pattern=r"^(?:[A-Za-z0-9-]{1,64})?$", description="Of `header`")] = ""
    username: Annotated[str, Meta(max_length=256, pattern=r"^[^:\x00-\x1f]*$")] = ""
    password: Annotated[str, Meta(max_length=1_024)] = ""


class Rest:
    """One API."""

    def __init__(
        self, name: str, settings: KeptRest, credentials: RestCredentials, outbound: Outbound
    ) -> None:
        self._name = name
        self._settings = settings
        self._headers = _headers(credentials)
        self._outbound = outbound

    def actions(self) -> list[Action]:
        return [self._action(operation) for operation in self._settings.operations]

    async def test(self) -> str:
        simple = (
            operation
            for operation in self._settings.operations
            if operation.method == "get" and not any(each.required for each in operation.parameters)
        )
        operation = next(simple, None)
        path = operation.path if operation else ""
        reply = await self._send("GET", self._settings.base_url + (path or "/"), None)
        if reply.status in (401, 403):
            raise ConnectorFailed("unauthorized", f"the API answered {reply.status}: check the credentials")
        if reply.status >= 500 or (operation is not None and reply.status >= 400):
            raise ConnectorFailed("refused", f"the API answered with status {reply.status}")
        return f"the API answered with status {reply.status}"

    def _action(self, operation: Operation) -> Action:
        properties = {each.name: each.schema or {"type": "string"} for each in operation.parameters}
        required = [each.name for each in operation.parameters if each.required]
        if operation.body is not None:
            properties["body"] = operation.body or {"type": "object"}
            required += ["body"] if operation.body_required else []
        name = f"{slug(self._name)}_{re.sub(r'[^A-Za-z0-9_-]+', '_', operation.name)}"[:MAX_TOOL_NAME]

        async def call(arguments: Mapping[str, Any]) -> str:
            return await self._call(operation, arguments)

        parameters = {"type": "object", "properties": properties, "required": required}
        return Action(name, operation.description, parameters, call)

    async def _call(self, operation: Operation, arguments: Mapping[str, Any]) -> str:
        url = self._settings.base_url + _path(operation, arguments)
        query = [pair for each in operation.parameters for pair in _query(each, arguments)]
        body = arguments.get("body") if operation.body is not None else None
        if operation.body_required and body is None:
            raise ConnectorFailed("bad_arguments", "`body` is missing")
        address = f"{url}?{urlencode(query)}" if query else url
        reply = await self._send(operation.method.upper(), address, body)
        told = reply.body[:_MAX_TOLD].decode("utf-8", "replace")
        if not 200 <= reply.status < 300:
            raise ConnectorFailed("refused", f"the API answered {reply.status}: {said(told, 500)}")
        return told or f"done ({reply.status})"

    async def _send(self, method: str, url: str, body: Any) -> Reply:
        if body is not None and len(msgspec.json.encode(body)) > _MAX_SENT:
            raise ConnectorFailed("bad_arguments", f"`body` is larger than {_MAX_SENT} bytes")
        try:
            return await self._outbound.json(method, url, self._headers, body)
        except CallFailed as error:
            raise ConnectorFailed(error.code, str(error)) from error


def _path(operation: Operation, arguments: Mapping[str, Any]) -> str:
    """Return the path with its parameters, each of which stays within its segment."""
    path = operation.path
    for each in operation.parameters:
        if each.place == "path":
            value = _plain(arguments.get(each.name), each.name)
            if value.strip(".") == "":
                raise ConnectorFailed("bad_arguments", f"`{each.name}` must not be empty or dots")
            path = path.replace("{" + each.name + "}", quote(value, safe=""))
    if "{" in path:
        raise ConnectorFailed(
            "bad_arguments", "the operation's path has a parameter that it does not describe"
        )
    return path


def _query(parameter: Parameter, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    if parameter.place != "query":
        return []
    value = arguments.get(parameter.name)
    if value is None:
        if parameter.required:
            raise ConnectorFailed("bad_arguments", f"`{parameter.name}` is missing")
        return []
    values = value[:50] if isinstance(value, list) else [value]
    return [(parameter.name, _plain(item, parameter.name)) for item in values]


def _plain(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float) or len(str(value)) > 1_000:
        raise ConnectorFailed(
            "bad_arguments", f"`{name}` must be a text or a number of at most 1000 characters"
        )
    return str(value)


def _headers(credentials: RestCredentials) -> dict[str, str]:
    token = credentials.token
    if any(ord(char) < 33 or ord(char) > 126 for char in token):
        raise BadSettings("the token has characters that no header may have")
    match credentials.scheme:
        case "none":
            return {}
        case "bearer" if token:
            return {"Authorization": f"Bearer {token}"}
        case "header" if token and credentials.header.lower() not in {"", *_FORBIDDEN_HEADERS}:
            return {credentials.header: token}
        case "basic" if credentials.username:
            pair = f"{credentials.username}:{credentials.password}".encode()
            return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    raise BadSettings(f"credentials of the scheme {credentials.scheme!r} lack what they are made of")


def _reduced(settings: RestSettings) -> KeptRest:
    names = tuple(dict.fromkeys(settings.operations))
    kept = openapi.chosen(settings.document, names)
    return KeptRest(openapi.base_url(settings.document, settings.base_url), kept)


KIND = Kind(
    "rest",
    "REST API",
    "Call chosen operations of an API that an OpenAPI document describes.",
    RestSettings,
    RestCredentials,
    Rest,
    reduce=_reduced,
    kept=KeptRest,
)
