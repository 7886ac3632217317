"""Bounds on work: how many queries run, wait, and how many bytes of bodies are held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from stack.clickhouse import errors
from stack.clickhouse.config import ServerConfig
from stack.clickhouse.errors import QueryError


class Workers:
    """A thread per running query, a bounded queue in front. Used on the event loop only."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._free = asyncio.Semaphore(config.max_concurrent_queries)
        self._waiting = 0
        self._buffered = 0
        self.threads = ThreadPoolExecutor(config.max_concurrent_queries, thread_name_prefix="query")
        #: Kills must get through when every query thread is busy.
        self.control = ThreadPoolExecutor(1, thread_name_prefix="control")

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for the right to run a query. Raises `QueryError` 202 when the queue is full or slow."""
        if self._free.locked() and self._waiting >= self._config.max_queued_queries:
            raise _too_many("the queue is full")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._config.queue_wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise _too_many("no query ended in time") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    def reserve(self, size: int) -> None:
        """Count `size` bytes of request body as held. Raises `QueryError` 202 when all are too many."""
        if self._buffered + size > self._config.max_buffered_bytes:
            raise _too_many("too many request bodies are held")
        self._buffered += size

    def release(self, size: int) -> None:
        self._buffered -= size

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.control.shutdown(wait=False, cancel_futures=True)


def _too_many(why: str) -> QueryError:
    return QueryError(errors.TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries: {why}")
