"""Connectors of an instance: what can be connected, and what is."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from console.api import Call
from console.visitor import Visitor, part


class Kind(Struct, frozen=True):
    """A kind of connector, with JSON Schemas of what it has to be told."""

    kind: str
    title: str
    description: str
    settings_schema: dict[str, Any]
    credentials_schema: dict[str, Any]
    for_visitors: bool


class Tested(Struct, frozen=True):
    """What came of trying a connector."""

    passed: bool
    said: str
    at_ms: int


class Connector(Struct, frozen=True):
    """A connector; its credentials are never shown."""

    connector_id: str
    kind: str
    name: str
    enabled: bool
    for_visitors: bool
    settings: dict[str, Any]
    tools: tuple[str, ...]
    updated_at_ms: int
    last_test: Tested | None


class ConnectorList(Struct, frozen=True):
    connectors: tuple[Connector, ...]
    max_connectors: int


class _Kinds(Struct):
    kinds: tuple[Kind, ...]


def _path(instance_id: str, connector_id: str = "") -> str:
    return f"/instances/{part(instance_id)}/connectors" + (f"/{part(connector_id)}" if connector_id else "")


async def kinds(visitor: Visitor) -> tuple[Kind, ...]:
    return (await visitor.get("/connector-kinds", _Kinds)).kinds


async def connectors(visitor: Visitor, instance_id: str) -> ConnectorList:
    return await visitor.get(_path(instance_id), ConnectorList)


async def create(visitor: Visitor, instance_id: str, **wanted: object) -> Connector:
    return await visitor.post(_path(instance_id), Connector, wanted)


async def change(visitor: Visitor, instance_id: str, connector_id: str, **wanted: object) -> None:
    """Change a connector; what is left out stays as it is."""
    await visitor.call(Call("PATCH", _path(instance_id, connector_id), body=wanted))


async def delete(visitor: Visitor, instance_id: str, connector_id: str) -> None:
    await visitor.call(Call("DELETE", _path(instance_id, connector_id)))


async def test(visitor: Visitor, instance_id: str, connector_id: str) -> Tested:
    return await visitor.post(f"{_path(instance_id, connector_id)}:test", Tested)
