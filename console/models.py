"""Answers of the console API as this client reads them. Fields it does not show are left out."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

InstanceStatus = Literal["provisioning", "active", "suspended", "ended"]


class Account(Struct, frozen=True):
    """Whom an access token speaks for."""

    subject: str
    tenant_id: str
    org_id: str
    role: str


class Totals(Struct, frozen=True):
    """Usage added up; `credits_micro` is 1/1,000,000 credit."""

    started: int
    runs: int
    completed: int
    tokens_in: int
    tokens_out: int
    tool_calls: int
    credits_micro: int


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


class InstancePage(Struct, frozen=True):
    """One page of instances."""

    instances: tuple[Instance, ...]
    total: int
    next_cursor: str | None


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


class RunPage(Struct, frozen=True):
    """Runs, newest first."""

    runs: tuple[Run, ...]
    next_cursor: str | None


class LiveWallet(Struct, frozen=True):
    """An org's credits in micro-credits."""

    settled_micro: int
    held_micro: int
    available_micro: int


class LiveCounters(Struct, frozen=True):
    """The counters that the live page draws. Field order is their order on the way to the browser."""

    started: int
    runs: int
    completed: int
    failed: int
    cancelled: int
    limit_exceeded: int
    lost: int
    tokens_in: int
    tokens_out: int
    tool_calls: int
    duration_ms: int
    credits_micro: int


class LiveWindow(LiveCounters, frozen=True):
    """Counters of one window."""

    start_ms: int


class LiveWindows(Struct, frozen=True):
    """Windows by width; absent ones are zero (snapshot) or unchanged (delta)."""

    second5: tuple[LiveWindow, ...]
    minute: tuple[LiveWindow, ...]


class LiveEvent(Struct, frozen=True):
    """Data of a `snapshot` or `delta`: absolute values."""

    server_time_ms: int
    changed_at_ms: int
    stale: bool
    totals: LiveCounters
    wallet: LiveWallet
    windows: LiveWindows
