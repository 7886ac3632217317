"""Lanes: batches of one lane are handled in order, lanes side by side.

While one lane waits for its store, another computes. A lane hands over everything that queued up meanwhile
at once, so that a slow store makes batches larger instead of queues longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from streams.batches import PartitionBatch

log = logging.getLogger(__name__)

LaneKey = TypeVar("LaneKey", bound=Hashable)

#: How long a lane may take to let go of its store once it is told to.
_PATIENCE_S = 3.0

#: Exit status of a worker that stopped itself rather than risk an effect it cannot account for.
EXIT_UNSAFE = 70


class Lanes(Generic[LaneKey]):
    """Dispatches batches to per-lane tasks. `submit` blocks while a lane is full: the back-pressure."""

    def __init__(
        self,
        lane_of: Callable[[PartitionBatch], LaneKey],
        handler: Callable[[LaneKey, list[PartitionBatch]], Awaitable[None]],
        *,
        linger_s: float = 0.0,
        queued_batches: int = 8,
        max_records: int = 8_000,
    ) -> None:
        self._lane_of = lane_of
        self._handler = handler
        self._linger_s = linger_s
        self._queued = queued_batches
        self._max_records = max_records
        self._queues: dict[LaneKey, asyncio.Queue[PartitionBatch]] = {}
        self._tasks: dict[LaneKey, asyncio.Task[None]] = {}

    async def submit(self, batch: PartitionBatch) -> None:
        """Queue a batch behind its lane's earlier ones."""
        lane = self._lane_of(batch)
        queue = self._queues.get(lane)
        if queue is None:
            queue = self._queues[lane] = asyncio.Queue(self._queued)
            self._tasks[lane] = asyncio.create_task(self._run(lane, queue))
        await queue.put(batch)

    async def close(self) -> None:
        """Stop every lane. What is in progress is fenced by its store; what is queued is read again."""
        tasks, queues = list(self._tasks.values()), list(self._queues.values())
        self._tasks, self._queues = {}, {}
        for task in tasks:
            task.cancel()
        await _ended(tasks)
        # Whoever waits for room in a lane that is no more would wait for ever, and read nothing again.
        while any(not queue.empty() for queue in queues):
            for queue in queues:
                while not queue.empty():
                    queue.get_nowait()
            # Each place that became free lets one of them go, who takes it.
            await asyncio.sleep(0)

    async def _run(self, lane: LaneKey, queue: asyncio.Queue[PartitionBatch]) -> None:
        try:
            while True:
                batches = [await queue.get()]
                if self._linger_s:
                    await asyncio.sleep(self._linger_s)
                size = len(batches[0].records)
                while size < self._max_records and not queue.empty():
                    batches.append(queue.get_nowait())
                    size += len(batches[-1].records)
                await self._handler(lane, batches)
        except asyncio.CancelledError:
            raise
        except BaseException:
            # Faust would log this, drop the batch and go on. Going on is the one thing that must not happen.
            log.critical("a lane failed; the worker stops", exc_info=True, extra={"lane": lane})
            os._exit(EXIT_UNSAFE)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    """Wait until cancelled lanes have ended. One that does not would hold up the whole group of workers."""
    if not tasks:
        return
    _, stuck = await asyncio.wait(tasks, timeout=_PATIENCE_S)
    for task in stuck:
        log.critical("a lane does not let go; the worker stops", extra={"awaits": _awaits(task)})
    if stuck:
        os._exit(EXIT_UNSAFE)


def _awaits(task: asyncio.Task[None]) -> list[str]:
    """Return where a task stands, from its outermost call inwards."""
    found: list[str] = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        place = f" {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
        found.append(f"{getattr(waiting, '__qualname__', repr(waiting))}{place}")
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return found
