"""Live usage: what viewers get, and the state it is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, Field

from console_api.counters import NO_WALLET, Wallet
from console_api.totals import Totals
from console_api.wallet.models import WalletView
from metering.totals import ZERO
from metering.totals import Totals as Vector
from metering.windows import WIDTH_MS, Window

#: The windows a live page shows, and how many of each, the current one included.
KEPT: dict[Window, int] = {"second5": 120, "minute": 60}
#: The gateway's clock may be ahead of ours: the window after the current one is read too.
AHEAD = 1

WindowKey = tuple[Window, int]


def live_windows(now_ms: int, counts: Mapping[Window, int]) -> list[WindowKey]:
    """Return the newest `counts` windows of each width, oldest first, and the one after the current."""
    keys: list[WindowKey] = []
    for window, count in counts.items():
        width = WIDTH_MS[window]
        current = now_ms // width * width
        keys += [(window, current + step * width) for step in range(1 - count, AHEAD + 1)]
    return keys


@dataclass(frozen=True)
class Reading:
    """One consistent read of Redis: totals, wallet and some windows, at one moment."""

    totals: Vector
    wallet: Wallet
    windows: dict[WindowKey, Vector]


@dataclass
class LiveState:
    """The newest figures of one instance. Windows that hold nothing are absent."""

    totals: Vector = ZERO
    wallet: Wallet = NO_WALLET
    windows: dict[WindowKey, Vector] = field(default_factory=dict)
    read_at_ms: int = 0
    changed_at_ms: int = 0
    stale: bool = False


class LiveWindow(Totals):
    """One window, absolute: it replaces what the viewer had for the same start."""

    start_ms: int


class LiveWindows(BaseModel):
    """Windows with usage; one that is not listed is zero (snapshot) or unchanged (delta)."""

    second5: list[LiveWindow] = Field(description="5-second windows of the last 10 minutes")
    minute: list[LiveWindow] = Field(description="Minutes of the last hour")


class LiveEvent(BaseModel):
    """The data of a `snapshot` (everything) or `delta` (only changed windows) event."""

    instance_id: str
    server_time_ms: int
    read_at_ms: int = Field(description="When Redis was last read")
    changed_at_ms: int = Field(description="When a figure last changed; 0 before any usage")
    stale: bool = Field(description="Redis cannot be read: figures stand as of `read_at_ms`")
    totals: Totals
    wallet: WalletView
    windows: LiveWindows
