"""Where the visitor's org is told what, and what it was told."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from console.api import Call
from console.visitor import Visitor, part


class Tested(Struct, frozen=True):
    """What came of trying a channel."""

    passed: bool
    said: str
    at_ms: int


class Channel(Struct, frozen=True):
    """A way to the org's people."""

    channel_id: str
    kind: str
    name: str
    enabled: bool
    built_in: bool
    target: str
    usable: bool
    last_test: Tested | None = None


class Channels(Struct, frozen=True):
    channels: tuple[Channel, ...] = ()
    max_channels: int = 0


class Made(Struct, frozen=True):
    """A channel that was just made; its secret is shown once."""

    channel_id: str
    signing_secret: str | None = None


class Rule(Struct, frozen=True):
    """What the org is told of one kind, and where."""

    kind: str
    title: str
    description: str
    enabled: bool
    channels: tuple[str, ...]
    thresholds_percent: tuple[int, ...] | None = None
    days: int | None = None
    minimum_micro: int | None = None


class Rules(Struct, frozen=True):
    rules: tuple[Rule, ...] = ()


class Delivery(Struct, frozen=True):
    """One message of an alert."""

    delivery_id: str
    channel: str
    status: str
    attempts: int
    next_try_at_ms: int
    sent_at_ms: int
    error: str


class Alert(Struct, frozen=True):
    """Something that was told."""

    alert_id: str
    kind: str
    title: str
    text: str
    occurred_at_ms: int
    deliveries: tuple[Delivery, ...] = ()


class Alerts(Struct, frozen=True):
    alerts: tuple[Alert, ...] = ()
    next_cursor: str | None = None


async def channels(visitor: Visitor) -> Channels:
    return await visitor.get("/alerts/channels", Channels)


async def rules(visitor: Visitor) -> Rules:
    return await visitor.get("/alerts/rules", Rules)


async def recent(visitor: Visitor, limit: int = 10) -> Alerts:
    return await visitor.get("/alerts", Alerts, {"limit": str(limit)})


async def add(visitor: Visitor, wanted: dict[str, Any]) -> Made:
    return await visitor.post("/alerts/channels", Made, wanted)


async def remove(visitor: Visitor, channel_id: str) -> None:
    await visitor.call(Call("DELETE", f"/alerts/channels/{part(channel_id)}"))


async def test(visitor: Visitor, channel_id: str) -> Tested:
    return await visitor.post(f"/alerts/channels/{part(channel_id)}:test", Tested)


async def set_rule(visitor: Visitor, kind: str, wanted: dict[str, Any]) -> None:
    await visitor.call(Call("PUT", f"/alerts/rules/{part(kind)}", body=wanted))


async def retry(visitor: Visitor, delivery_id: str) -> None:
    await visitor.call(Call("POST", f"/alerts/deliveries/{part(delivery_id)}:retry"))
