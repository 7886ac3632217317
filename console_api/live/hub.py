"""One watched instance: polls Redis, keeps the newest state and a short memory of what changed.

Nothing is queued per viewer. A viewer knows the number of the last event it got and asks for what follows:
the event itself when it is one behind, one merged delta of absolute values when it is several behind, a
fresh snapshot when it is further behind than the memory reaches.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from dataclasses import dataclass

from redis.exceptions import RedisError

from console_api.live import frames, repository
from console_api.live.models import KEPT, LiveState, Reading, WindowKey, live_windows
from console_api.stores import Stores
from kit.settings import ConsoleApiSettings
from metering.totals import ZERO, Totals, difference
from metering.windows import WIDTH_MS, Window
from schemas.directory import InstanceRecord

log = logging.getLogger(__name__)

#: Windows that each poll reads; older ones are read when the totals say that one of them changed.
_RECENT: dict[Window, int] = {"second5": 12, "minute": 2}
_MEMORY = 256
_MAX_BACKOFF_S = 2.0


@dataclass(frozen=True)
class Frame:
    """Bytes to send, and the number of the newest change they contain."""

    seq: int
    data: bytes


class Hub:
    """Use from one event loop; `run` until cancelled."""

    def __init__(self, stores: Stores, instance: InstanceRecord, settings: ConsoleApiSettings) -> None:
        self._stores = stores
        self._instance = instance
        self._interval_s = settings.live_interval_ms / 1000
        self._state = LiveState()
        self._tag = os.urandom(4).hex()
        # From the clock, so that ids keep growing when a hub is started again.
        self._seq = stores.clock() * 1000
        self._memory: deque[tuple[int, frozenset[WindowKey]]] = deque(maxlen=_MEMORY)
        self._delta: Frame | None = None
        self._snapshot: Frame | None = None
        self._changed = asyncio.Event()
        self.viewers = 0
        self.closed = False

    # --- for viewers ---------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        return self._seq

    def resume(self, last_event_id: str | None) -> int | None:
        """Return the number in a `Last-Event-ID` of this very hub, else `None`: begin with a snapshot."""
        number, _, tag = (last_event_id or "").partition("-")
        if tag != self._tag or not number.isdecimal() or int(number) > self._seq:
            return None
        return int(number)

    def after(self, seq: int | None) -> Frame | None:
        """Return what a viewer that has seen `seq` must get next; `None` when it is up to date."""
        if seq == self._seq:
            return None
        if seq is None or not self._memory or self._memory[0][0] > seq + 1:
            return self._snapshot_frame()
        if seq == self._seq - 1 and self._delta is not None:
            return self._delta
        missed = frozenset().union(*(keys for number, keys in self._memory if number > seq))
        return self._frame("delta", missed)

    async def wait(self) -> None:
        """Return when something changed or the hub closed."""
        await self._changed.wait()

    def _snapshot_frame(self) -> Frame:
        if self._snapshot is None:
            self._snapshot = self._frame("snapshot", self._state.windows.keys())
        return self._snapshot

    def _frame(self, event: str, windows: frozenset[WindowKey] | object) -> Frame:
        data = frames.live_data(self._instance, self._state, windows, self._stores.clock())  # type: ignore[arg-type]
        return Frame(self._seq, frames.frame(event, data, f"{self._seq}-{self._tag}"))

    # --- polling -------------------------------------------------------------------------------------------

    async def prime(self) -> None:
        """Read everything once. Raises `RedisError`."""
        await self._poll(everything=True)

    async def run(self) -> None:
        """Poll until cancelled; while Redis is away, say so once and try ever more slowly."""
        delay = self._interval_s
        while True:
            await asyncio.sleep(delay)
            try:
                await self._poll(everything=self._state.stale)
                delay = self._interval_s
            except (RedisError, OSError) as error:
                self._lost(error)
                delay = min(delay * 2, max(_MAX_BACKOFF_S, self._interval_s))

    def close(self) -> None:
        """Wake every viewer, so that it says goodbye."""
        self.closed = True
        self._changed.set()

    async def _poll(self, *, everything: bool) -> None:
        if not everything:
            reading = await self._read(_RECENT, "recent")
            everything = not self._explains(reading)
        if everything:
            reading = await self._read(KEPT, "all")
        self._apply(reading)

    async def _read(self, counts: dict[Window, int], extent: str) -> Reading:
        metrics = self._stores.metrics
        metrics.live_polls.labels(extent).inc()
        with metrics.live_poll_seconds.time():
            return await repository.read(
                self._stores, self._instance, live_windows(self._stores.clock(), counts)
            )

    def _explains(self, reading: Reading) -> bool:
        """Return whether the windows read account for all that the totals grew by.

        Each run adds the same to the totals and to the one 5-second window it started in. If the windows
        read grew by less, a run changed that started earlier: its window must be read too.
        """
        grown: Totals = ZERO
        for key, values in reading.windows.items():
            if key[0] == "second5":
                before = self._state.windows.get(key, ZERO)
                if values != before:
                    grown = tuple([g + d for g, d in zip(grown, difference(values, before), strict=True)])
        return grown == difference(reading.totals, self._state.totals)

    def _apply(self, reading: Reading) -> None:
        state, now = self._state, self._stores.clock()
        changed = {key for key, values in reading.windows.items() if values != state.windows.get(key, ZERO)}
        moved = bool(changed) or reading.totals != state.totals
        if moved:
            state.changed_at_ms = now if state.read_at_ms else _newest_start(changed, now)
        news = moved or state.stale or reading.wallet != state.wallet
        state.windows.update({key: reading.windows[key] for key in changed})
        state.totals, state.wallet = reading.totals, reading.wallet
        state.read_at_ms, state.stale = now, False
        self._forget_old(now)
        self._snapshot = None  # it says when Redis was read
        if news:
            self._publish(frozenset(changed))

    def _forget_old(self, now: int) -> None:
        oldest = {window: now - (count + 1) * WIDTH_MS[window] for window, count in KEPT.items()}
        for key in [key for key in self._state.windows if key[1] < oldest[key[0]]]:
            del self._state.windows[key]

    def _lost(self, error: Exception) -> None:
        if not self._state.stale:
            log.warning("live counters cannot be read", extra={"error": repr(error)})
            self._state.stale = True
            self._publish(frozenset())

    def _publish(self, changed: frozenset[WindowKey]) -> None:
        self._seq += 1
        self._memory.append((self._seq, changed))
        self._delta = self._frame("delta", changed)
        self._snapshot = None
        self._changed.set()
        self._changed = asyncio.Event()


def _newest_start(windows: set[WindowKey], now: int) -> int:
    """Return about when a figure last changed, for a hub that did not see it change; 0 if long ago."""
    return min(now, max((start for _, start in windows), default=0))
