"""Live figures from the API to browsers: one upstream stream per instance and visitor, shared by its tabs.

Order of things: upstream event → decoded once → packed once → the same text to every tab. A tab that opens
later gets the packed state of now. Values are absolute, so repeating one is harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

import msgspec

from console import sse
from console.api import ApiError, Missing, SignedOut
from console.calls import instances
from console.calls.instances import Run
from console.models import LiveEvent, LiveWindow
from console.visitor import Visitor, part

log = logging.getLogger(__name__)

#: Takes one packed message (JSON); must not block.
Tab = Callable[[str], None]

_RETRY_MIN_S, _RETRY_MAX_S = 0.5, 10.0
_RUNS_SHOWN = 12
#: History follows the live figures by some seconds: after a change, look this often, this many times.
_RUNS_EVERY_S, _RUNS_LOOKS = 2.0, 5
_KEPT_MS = {"second5": 11 * 60_000, "minute": 62 * 60_000}
_event = msgspec.json.Decoder(LiveEvent)


class LiveFeed:
    """The live figures of one instance, seen by one visitor. Runs while it has tabs."""

    def __init__(self, visitor: Visitor, instance_id: str) -> None:
        self._visitor = visitor
        self._instance_id = instance_id
        self._tabs: set[Tab] = set()
        self._last: LiveEvent | None = None
        self._windows: dict[str, dict[int, LiveWindow]] = {"second5": {}, "minute": {}}
        self._runs: tuple[Run, ...] | None = None
        self._link = "connecting"
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def tabs(self) -> int:
        return len(self._tabs)

    def join(self, visitor: Visitor, tab: Tab) -> None:
        """Add a tab and give it the state of now."""
        self._tabs.add(tab)
        if not self._tasks or self._tasks[0].done():
            # It ended for who asked then: whoever opens a page now has signed in, or was let in, since.
            self._stop()
            self._visitor = visitor
            self._set_link("connecting")
            self._tasks = [
                asyncio.create_task(self._follow(), name=f"live {self._instance_id}"),
                asyncio.create_task(self._follow_runs(), name=f"runs {self._instance_id}"),
            ]
        tab(_pack({"link": self._link}))
        if self._last is not None:
            tab(self._packed(self._last, self._windows, full=True))
        if self._runs is not None:
            tab(_pack({"runs": self._runs}))

    def leave(self, tab: Tab) -> None:
        """Remove a tab; the last one stops the stream."""
        self._tabs.discard(tab)
        if not self._tabs:
            self._stop()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def _send(self, message: str) -> None:
        for tab in tuple(self._tabs):
            tab(message)

    def _set_link(self, link: str) -> None:
        self._link = link
        self._send(_pack({"link": link}))

    async def _follow(self) -> None:
        """Read the upstream until cancelled; reconnect with the last id, ever more slowly while it fails."""
        last_id: str | None = None
        delay = _RETRY_MIN_S
        while True:
            try:
                path = f"/instances/{part(self._instance_id)}/usage/live"
                async with self._visitor.stream(path, last_event_id=last_id) as stream:
                    async for event in sse.events(stream):
                        last_id = event.id or last_id
                        delay = _RETRY_MIN_S
                        self._take(event)
                # Ended politely (its lifetime is bounded): go on at once, but never in a tight loop.
                await asyncio.sleep(_RETRY_MIN_S / 2)
            except (SignedOut, Missing) as error:
                self._set_link("signed_out" if isinstance(error, SignedOut) else "missing")
                return
            except Exception as error:
                # Whatever it was, the page must say that it is not live, and come back.
                log.info("live stream lost", extra={"instance_id": self._instance_id, "error": repr(error)})
                self._set_link("reconnecting")
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_MAX_S)

    def _take(self, event: sse.ServerEvent) -> None:
        if event.name in ("snapshot", "delta"):
            self._apply(_event.decode(event.data), full=event.name == "snapshot")
        elif event.name == "comment":
            self._send(_pack({"link": self._link}))
        # `bye` needs nothing: the stream ends and is opened again.

    def _apply(self, event: LiveEvent, *, full: bool) -> None:
        news = {
            "second5": {window.start_ms: window for window in event.windows.second5},
            "minute": {window.start_ms: window for window in event.windows.minute},
        }
        for width, windows in news.items():
            kept = {} if full else self._windows[width]
            oldest = event.server_time_ms - _KEPT_MS[width]
            self._windows[width] = {at: w for at, w in {**kept, **windows}.items() if at >= oldest}
        if self._last is None or event.totals != self._last.totals:
            self._wanted.set()
        self._last = event
        self._link = "live"
        self._send(self._packed(event, news, full=full))

    def _packed(self, event: LiveEvent, windows: dict[str, dict[int, LiveWindow]], *, full: bool) -> str:
        return _pack(
            {
                "link": self._link,
                "full": full,
                "now": event.server_time_ms,
                "changed": event.changed_at_ms,
                "stale": event.stale,
                "totals": event.totals,
                "wallet": event.wallet,
                **{
                    width: [msgspec.structs.astuple(w) for w in part.values()]
                    for width, part in windows.items()
                },
            }
        )

    async def _follow_runs(self) -> None:
        """Keep the newest runs current: look several times after each change, then wait for the next."""
        looks = _RUNS_LOOKS
        while True:
            if self._wanted.is_set():
                self._wanted.clear()
                looks = _RUNS_LOOKS
            if looks == 0:
                await self._wanted.wait()
                continue
            looks -= 1
            await self._look_for_runs()
            await asyncio.sleep(_RUNS_EVERY_S)

    async def _look_for_runs(self) -> None:
        with contextlib.suppress(SignedOut, Missing):
            try:
                page = await instances.runs(self._visitor, self._instance_id, _RUNS_SHOWN)
            except ApiError as error:
                self._send(_pack({"runs_error": error.detail}))
                return
            if page.runs != self._runs:
                self._runs = page.runs
                self._send(_pack({"runs": page.runs}))


def _pack(message: dict[str, object]) -> str:
    return msgspec.json.encode(message).decode()


class LiveFeeds:
    """All feeds of this process, by instance, session and org."""

    def __init__(self) -> None:
        self._feeds: dict[tuple[str, str, str], LiveFeed] = {}

    def join(self, visitor: Visitor, instance_id: str, tab: Tab) -> Callable[[], None]:
        """Feed a tab; call what is returned, once, when it closes."""
        key = (instance_id, visitor.session_id, visitor.org_id)
        feed = self._feeds.get(key) or LiveFeed(visitor, instance_id)
        self._feeds[key] = feed
        feed.join(visitor, tab)

        def leave() -> None:
            feed.leave(tab)
            if feed.tabs == 0 and self._feeds.get(key) is feed:
                del self._feeds[key]

        return leave
