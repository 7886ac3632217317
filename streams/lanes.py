"""One lane per partition: batches of a partition are handled in order, partitions side by side.

While one lane waits for its store, another computes. A lane hands over everything that queued up meanwhile
at once, so that a slow store makes batches larger instead of queues longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable

from streams.batches import PartitionBatch

log = logging.getLogger(__name__)

Handler = Callable[[int, list[PartitionBatch]], Awaitable[None]]

#: Exit status of a worker that stopped itself rather than risk an effect it cannot account for.
EXIT_UNSAFE = 70


class Lanes:
    """Dispatches batches to per-partition tasks. `submit` blocks when a lane is full: the back-pressure."""

    def __init__(self, handler: Handler, *, queued_batches: int = 8, max_records: int = 8_000) -> None:
        self._handler = handler
        self._queued = queued_batches
        self._max_records = max_records
        self._queues: dict[int, asyncio.Queue[PartitionBatch]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def submit(self, batch: PartitionBatch) -> None:
        """Queue a batch behind its partition's earlier ones."""
        queue = self._queues.get(batch.partition)
        if queue is None:
            queue = self._queues[batch.partition] = asyncio.Queue(self._queued)
            self._tasks[batch.partition] = asyncio.create_task(self._run(batch.partition, queue))
        await queue.put(batch)

    async def drop(self, partitions: set[int]) -> None:
        """Forget partitions that were taken away: what is in progress is fenced, the rest re-read."""
        for partition in partitions & self._tasks.keys():
            task = self._tasks.pop(partition)
            del self._queues[partition]
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def close(self) -> None:
        """Stop every lane."""
        await self.drop(set(self._tasks))

    async def _run(self, partition: int, queue: asyncio.Queue[PartitionBatch]) -> None:
        try:
            while True:
                batches = [await queue.get()]
                size = len(batches[0].records)
                while size < self._max_records and not queue.empty():
                    batches.append(queue.get_nowait())
                    size += len(batches[-1].records)
                await self._handler(partition, batches)
        except asyncio.CancelledError:
            raise
        except BaseException:
            # Faust would log this, drop the batch and go on. Going on is the one thing that must not happen.
            log.critical("a lane failed; the worker stops", exc_info=True, extra={"partition": partition})
            os._exit(EXIT_UNSAFE)
