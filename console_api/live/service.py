"""Hubs by instance, and the life of one viewer's stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.exceptions import RedisError

from console_api.live import frames
from console_api.live.hub import Hub
from console_api.stores import Stores
from kit.problems import Unavailable
from kit.settings import ConsoleApiSettings
from kit.tasks import ended
from schemas.directory import InstanceRecord

#: Whether the viewer's token still stands. Raises `RedisError`.
StillAllowed = Callable[[], Awaitable[bool]]


class TooManyStreams(Unavailable):
    """The limit on open live streams is reached."""

    code, title = "too_many_live_streams", "Too many live streams are open"


@dataclass
class _Watched:
    hub: Hub
    primed: asyncio.Task[None]
    polling: asyncio.Task[None] | None = None


class LiveService:
    """Starts a hub with its first viewer and stops it with its last."""

    def __init__(self, stores: Stores, settings: ConsoleApiSettings) -> None:
        self._stores = stores
        self._settings = settings
        self._watched: dict[str, _Watched] = {}
        self._viewers = 0

    @property
    def max_lifetime_s(self) -> int:
        return self._settings.live_max_lifetime_s

    @asynccontextmanager
    async def watch(self, instance: InstanceRecord) -> AsyncIterator[Hub]:
        """Lend the instance's hub. Raises `TooManyStreams`, or `RedisError` when nothing can be read."""
        if self._viewers >= self._settings.live_max_streams:
            raise TooManyStreams(
                "Close other live pages, or poll /usage instead.",
                headers={"Retry-After": "30"},
                limit=self._settings.live_max_streams,
            )
        self._count(1)
        watched = self._join(instance)
        try:
            await asyncio.shield(watched.primed)
            yield watched.hub
        finally:
            self._count(-1)
            self._leave(instance.instance_id, watched)

    async def close(self) -> None:
        """Say goodbye to every viewer and stop polling."""
        for watched in list(self._watched.values()):
            watched.hub.close()
            await _stopped(watched)
        self._watched.clear()

    def _count(self, change: int) -> None:
        self._viewers += change
        self._stores.metrics.live_viewers.set(self._viewers)

    def _join(self, instance: InstanceRecord) -> _Watched:
        watched = self._watched.get(instance.instance_id)
        if watched is None:
            hub = Hub(self._stores, instance, self._settings)
            watched = _Watched(hub, asyncio.create_task(hub.prime()))
            watched.primed.add_done_callback(lambda _: self._primed(watched))
            self._watched[instance.instance_id] = watched
        watched.hub.viewers += 1
        self._stores.metrics.live_hubs.set(len(self._watched))
        return watched

    def _primed(self, watched: _Watched) -> None:
        task = watched.primed
        if not task.cancelled() and task.exception() is None and watched.hub.viewers > 0:
            watched.polling = asyncio.create_task(watched.hub.run())

    def _leave(self, instance_id: str, watched: _Watched) -> None:
        watched.hub.viewers -= 1
        if watched.hub.viewers == 0:
            if self._watched.get(instance_id) is watched:
                del self._watched[instance_id]
            for task in (watched.primed, watched.polling):
                if task is not None:
                    task.cancel()
        self._stores.metrics.live_hubs.set(len(self._watched))

    async def events(
        self, hub: Hub, last_event_id: str | None, still_allowed: StillAllowed
    ) -> AsyncIterator[bytes]:
        """Yield a viewer's stream: snapshot or resumption, deltas, heartbeats, and a `bye` at its end."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._settings.live_max_lifetime_s
        checked = loop.time()
        seq = hub.resume(last_event_id)
        yield frames.RETRY
        while not hub.closed and loop.time() < ends:
            if loop.time() - checked >= self._settings.live_heartbeat_s:
                checked = loop.time()
                if not await _allowed(still_allowed):
                    yield frames.frame("bye", {"reason": "unauthorized"})
                    return
                yield frames.heartbeat(self._stores.clock())
            news = hub.after(seq)
            if news is not None:
                seq = news.seq
                yield news.data
                continue
            due = min(ends, checked + self._settings.live_heartbeat_s) - loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(due, 0)):
                    await hub.wait()
        yield frames.frame("bye", {"reason": "shutdown" if hub.closed else "lifetime"})


async def _allowed(still_allowed: StillAllowed) -> bool:
    try:
        return await still_allowed()
    except RedisError:
        # Stale figures are marked as such; an outage is no reason to sign anyone out.
        return True


async def _stopped(watched: _Watched) -> None:
    await ended(*(task for task in (watched.primed, watched.polling) if task is not None))
