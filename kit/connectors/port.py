"""What every kind of connector is to those who offer, keep and call it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from kit.connectors.outbound import Outbound

#: What model providers take as a function's name.
MAX_TOOL_NAME = 64


class ConnectorFailed(Exception):
    """A call did not do what it was to do. `code` is a stable word; the text may hold what others wrote."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class BadSettings(Exception):
    """Settings that no connector can be made of; the text says what to change."""


@dataclass(frozen=True)
class Action:
    """Something the model may do. `call` raises `ConnectorFailed`."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[[Mapping[str, Any]], Awaitable[str]]


class Connector(Protocol):
    """One system, with its owner's settings and credentials."""

    def actions(self) -> list[Action]:
        """Return what the model may do."""

    async def test(self) -> str:
        """Try the credentials without changing anything; return what was reached.

        Raises `ConnectorFailed`.
        """


@dataclass(frozen=True)
class Kind:
    """A kind of system: what its owner has to say, and what becomes of it."""

    name: str
    title: str
    description: str
    settings: type[Struct]
    credentials: type[Struct]
    build: Callable[[str, Any, Any, Outbound], Connector]
    #: From what the owner says to what is kept; the same where nothing is taken out of it.
    reduce: Callable[[Any], Struct] | None = None
    kept: type[Struct] | None = field(default=None)
    #: Whether the visitors of pages may use it unless its owner says otherwise: it only sends, as a visitor's
    #: chat has it do, and shows and changes nothing that is there already.
    for_visitors: bool = False

    def reduced(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept of the owner's settings. Raises `BadSettings`."""
        said = _converted(settings, self.settings)
        kept = said if self.reduce is None else self.reduce(said)
        plain: dict[str, Any] = msgspec.to_builtins(kept)
        return plain

    def checked_credentials(self, credentials: Mapping[str, Any]) -> dict[str, Any]:
        """Return the credentials. Raises `BadSettings`, which never repeats them."""
        plain: dict[str, Any] = msgspec.to_builtins(_converted(credentials, self.credentials))
        return plain

    def connector(
        self, name: str, kept: Mapping[str, Any], credentials: Mapping[str, Any], outbound: Outbound
    ) -> Connector:
        """Return the connector. Raises `BadSettings`."""
        settings = _converted(kept, self.kept or self.settings)
        return self.build(name, settings, _converted(credentials, self.credentials), outbound)


def _converted(plain: Mapping[str, Any], kind: type[Struct]) -> Struct:
    try:
        made: Struct = msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise BadSettings(str(error)) from None
    return made


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """Return a struct's JSON Schema, its own type on top."""
    schema = msgspec.json.schema(kind)
    definitions = schema.pop("$defs", {})
    top = definitions.pop(schema["$ref"].rpartition("/")[2]) if "$ref" in schema else schema
    return {**top, **({"$defs": definitions} if definitions else {})}


def slug(name: str) -> str:
    """Return a name as a part of a tool's name."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:24] or "connector"


def text_of(arguments: Mapping[str, Any], name: str, *, most: int, required: bool = True) -> str:
    """Return a text among the arguments that the model wrote. Raises `ConnectorFailed`."""
    value = arguments.get(name, "")
    if not isinstance(value, str) or len(value) > most or (required and not value.strip()):
        raise ConnectorFailed("bad_arguments", f"`{name}` must be a text of at most {most} characters")
    return value.strip()


def decoded(body: bytes) -> Any:
    """Return a JSON answer. Raises `ConnectorFailed`."""
    try:
        return msgspec.json.decode(body or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConnectorFailed(
            "bad_answer", "the other system answered with something else than JSON"
        ) from None


def said(value: object, most: int = 300) -> str:
    """Return what another system says went wrong, in one line."""
    return " ".join(str(value or "").split())[:most]
