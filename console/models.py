"""The live stream's events as this client reads them."""

from __future__ import annotations

from msgspec import Struct


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
