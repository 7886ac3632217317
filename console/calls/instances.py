"""Instances, their configuration, and their runs."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from console.api import Call
from console.calls.totals import Totals
from console.visitor import Visitor, part, plain

InstanceStatus = Literal["provisioning", "active", "suspended", "ended"]
Suspension = Literal["operator", "payment", "dispute"]


class SparkPoint(Struct, frozen=True):
    """Five minutes of usage."""

    start_ms: int
    started: int
    tokens: int
    credits_micro: int


class Instance(Struct, frozen=True):
    """An instance as a list shows it."""

    instance_id: str
    name: str
    status: InstanceStatus
    default_model: str
    created_at_ms: int
    totals: Totals
    last_hour: tuple[SparkPoint, ...]
    credits_left_micro: int
    suspended_for: tuple[Suspension, ...] = ()


class InstancePage(Struct, frozen=True):
    """One page of instances."""

    instances: tuple[Instance, ...]
    total: int
    next_cursor: str | None


class Branding(Struct):
    """How an instance looks."""

    title: str = ""
    colour: str = ""
    logo_url: str = ""
    position: Literal["right", "left"] = "right"


class OwnLimits(Struct):
    """Limits of one's own; 0 leaves it to the plan."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_concurrent_runs: int = 0
    daily_cap_micro: int = 0
    monthly_cap_micro: int = 0
    cap_output: bool = True


class PlanLimits(Struct, frozen=True):
    """What a plan allows; 0 is no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_concurrent_runs: int = 0
    daily_cap_micro: int = 0
    monthly_cap_micro: int = 0
    soft: bool = False
    overage_micro: int = 0


class Entitlements(Struct, frozen=True):
    """What an instance of a plan may use."""

    models: tuple[str, ...]
    tools: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    max_output_tokens: int = 0
    limits: PlanLimits = PlanLimits()


class Configuration(Struct):
    """What the instance's owners decided, and the plan that bounds it."""

    name: str
    model: str
    system_prompt: str
    greeting: str
    tools: list[str] | None
    branding: Branding
    limits: OwnLimits
    version: int
    updated_at_ms: int
    plan_code: str
    plan: Entitlements


_WRITTEN = ("name", "model", "system_prompt", "greeting", "tools", "branding", "limits")


class Run(Struct, frozen=True):
    """One run; `started` is one that is still going."""

    run_id: str
    status: str
    channel: str
    model: str
    started_at_ms: int
    duration_ms: int
    tokens_in: int
    tokens_out: int
    tool_calls: int
    credits_micro: int
    error_code: str
    key_id: str = ""
    end_user: str = ""
    streamed: bool = False
    closed_at_ms: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    model_calls: int = 0
    price_version: str = ""
    estimated: bool = False
    unpriced: bool = False
    recorded_at_ms: int = 0


class RunPage(Struct, frozen=True):
    """Runs, newest first."""

    runs: tuple[Run, ...]
    next_cursor: str | None


async def instances(visitor: Visitor, search: str = "", cursor: str | None = None) -> InstancePage:
    query = {"q": search, **({"cursor": cursor} if cursor else {})}
    return await visitor.get("/account/instances", InstancePage, query)


async def instance(visitor: Visitor, instance_id: str) -> Instance:
    return await visitor.get(f"/instances/{part(instance_id)}", Instance)


async def configuration(visitor: Visitor, instance_id: str) -> tuple[Configuration, str]:
    """Return the configuration and its ETag."""
    return await visitor.versioned(f"/instances/{part(instance_id)}/config", Configuration)


async def configure(
    visitor: Visitor, instance_id: str, changed: Configuration, etag: str
) -> tuple[Configuration, str]:
    """Write a configuration that is based on an ETag; return the new ones. Raises `Stale`."""
    body: dict[str, Any] = {name: plain(getattr(changed, name)) for name in _WRITTEN}
    raw = await visitor.call(
        Call("PUT", f"/instances/{part(instance_id)}/config", body=body, headers={"If-Match": etag})
    )
    return raw.as_(Configuration), raw.headers.get("ETag", "")


class Ended(Struct, frozen=True):
    """An instance that ended; whether its payment provider has heard of it."""

    provider_told: bool


async def end(visitor: Visitor, instance_id: str) -> Ended:
    """End an instance for good, and its subscription with it."""
    return await visitor.post(f"/instances/{part(instance_id)}:end", Ended)


async def runs(visitor: Visitor, instance_id: str, limit: int, **filters: str) -> RunPage:
    query = {"limit": str(limit), **{name: value for name, value in filters.items() if value}}
    return await visitor.get(f"/instances/{part(instance_id)}/runs", RunPage, query)


def copy(configuration: Configuration) -> Configuration:
    """Return a configuration of one's own to change."""
    return msgspec.convert(msgspec.to_builtins(configuration), Configuration)
