"""Runs one query for one HTTP exchange: slot, worker thread, time cap, disconnect, answer."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator

from stack.clickhouse import errors
from stack.clickhouse.config import ServerConfig
from stack.clickhouse.connection import Block
from stack.clickhouse.delivery import BrokenResult, Outlet, encoded, spooled, with_exception_frame
from stack.clickhouse.engine import Engine, Job, Plan
from stack.clickhouse.errors import QueryError
from stack.clickhouse.request import QueryRequest
from stack.clickhouse.response import PLAIN, Headers, Message, Receive, Send, headers, send_error, summary
from stack.clickhouse.workers import Workers

log = logging.getLogger(__name__)

#: The engine stops a query at its cap by itself; this much later it is killed, whatever its SETTINGS say.
_KILL_AFTER_SECONDS = 1.0
_KILL_AGAIN_SECONDS = 0.25
_LAST_PATIENCE_SECONDS = 5.0
#: Reading a longer text would hold up the event loop.
_LONG_TEXT = 64 << 10


class QueryRunner:
    """Used on the event loop only."""

    def __init__(self, config: ServerConfig, engine: Engine, workers: Workers) -> None:
        self._config = config
        self._engine = engine
        self._workers = workers
        self._running: dict[str, tuple[Job, asyncio.Future[None]]] = {}  # by mark

    async def run(self, request: QueryRequest, receive: Receive, send: Send) -> None:
        """Answer one query, with its result or its error."""
        started = time.perf_counter()
        try:
            if any(job.request.query_id == request.query_id for job, _ in self._live()):
                raise QueryError(
                    errors.SAME_QUERY_ID, f"Query with id = {request.query_id} is already running."
                )
            long = len(request.sql) > _LONG_TEXT
            plan = await asyncio.to_thread(self._engine.plan, request) if long else self._engine.plan(request)
            async with self._workers.slot():
                await self._run(request, plan, receive, send)
        except QueryError as error:
            _log_error(error, request, started)
            await send_error(send, error, self._engine.version, request.query_id)
        except BrokenResult as broken:
            _log_error(broken.error, request, started)

    async def stop_all(self) -> bool:
        """Cancel every running query and wait some seconds for the threads; say whether all ended."""
        why = QueryError(errors.QUERY_WAS_CANCELLED, "The server is shutting down")
        running = self._live()
        await asyncio.gather(
            *(self._stop(job, future, why, _LAST_PATIENCE_SECONDS) for job, future in running)
        )
        return all(future.done() for _, future in running)

    def _live(self) -> list[tuple[Job, asyncio.Future[None]]]:
        return [(job, future) for job, future in self._running.values() if not job.finished]

    async def _run(self, request: QueryRequest, plan: Plan, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        job, outlet, tag = Job(request), Outlet(self._config.stall_seconds), secrets.token_hex(8)
        future = loop.run_in_executor(self._workers.threads, self._work, job, plan, outlet, tag)
        self._running[job.mark] = (job, future)
        guards = [
            asyncio.create_task(self._stop_late(job, future)),
            asyncio.create_task(self._stop_abandoned(job, future, plan, receive)),
        ]
        try:
            await self._answer(request, plan, outlet, tag, send)
        finally:
            outlet.close()
            # The slot is free only when the thread is.
            await asyncio.wait({future})
            for guard in guards:
                guard.cancel()
            del self._running[job.mark]

    def _work(self, job: Job, plan: Plan, outlet: Outlet, tag: str) -> None:
        try:
            # The last block waits until session and connection are free: the next query may follow at once.
            for block in self._pipeline(job, plan, tag):
                if not block.last:
                    outlet.put(block)
            job.finished = True
            outlet.put(block)
        except (QueryError, BrokenResult) as error:
            outlet.fail(error)
        except Exception:
            log.exception("internal error", extra={"query_id": job.request.query_id})
            outlet.fail(QueryError(errors.UNKNOWN_EXCEPTION, "Internal error of the server"))

    def _pipeline(self, job: Job, plan: Plan, tag: str) -> Iterator[Block]:
        request = job.request
        blocks = self._engine.blocks(job, plan)
        if request.wait_end:
            blocks = spooled(blocks, str(self._config.path / "tmp"), self._config.max_result_bytes)
        blocks = with_exception_frame(blocks, tag, self._engine.version)
        return encoded(blocks, request.encoding) if request.encoding else blocks

    async def _answer(self, request: QueryRequest, plan: Plan, outlet: Outlet, tag: str, send: Send) -> None:
        block = await outlet.get()
        found = self._headers(request, plan, block, tag)
        if block.last:
            found.append((b"content-length", str(len(block.data)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": found})
        await send(_body(block))
        while not block.last:
            block = await _next(outlet, send)
            await send(_body(block))

    def _headers(self, request: QueryRequest, plan: Plan, block: Block, tag: str) -> Headers:
        # An INSERT or DDL answers without a body.
        reads = bool(block.data) or plan.statement.insert_format is None
        found = headers(
            content_type=plan.content_type if reads else PLAIN,
            x_clickhouse_query_id=request.query_id,
            x_clickhouse_format=plan.format,
            x_clickhouse_timezone=request.settings.get("session_timezone") or self._engine.timezone,
            x_clickhouse_exception_tag=tag,
            x_clickhouse_summary=summary(block.stats),
        )
        if request.encoding:
            found.append((b"content-encoding", request.encoding.encode()))
        return found

    async def _stop_late(self, job: Job, future: asyncio.Future[None]) -> None:
        cap = self._config.max_query_seconds
        await asyncio.sleep(cap + _KILL_AFTER_SECONDS)
        late = QueryError(
            errors.TIMEOUT_EXCEEDED, f"Timeout exceeded: the server allows {cap:g} seconds a query."
        )
        await self._stop(job, future, late)

    async def _stop_abandoned(
        self, job: Job, future: asyncio.Future[None], plan: Plan, receive: Receive
    ) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        # A write goes on, as in ClickHouse: its sender may ask again with the same token.
        if plan.statement.streams:
            await self._stop(job, future, QueryError(errors.QUERY_WAS_CANCELLED, "The client left"))

    async def _stop(
        self, job: Job, future: asyncio.Future[None], why: QueryError, patience_seconds: float = 600.0
    ) -> None:
        job.stopped = job.stopped or why
        loop, give_up = asyncio.get_running_loop(), time.monotonic() + patience_seconds
        # Again and again: a kill before the engine knows the query finds nothing.
        while not future.done() and time.monotonic() < give_up:
            await loop.run_in_executor(self._workers.control, self._engine.kill, job.mark)
            await asyncio.wait({future}, timeout=_KILL_AGAIN_SECONDS)


def _body(block: Block) -> Message:
    return {"type": "http.response.body", "body": block.data, "more_body": not block.last}


async def _next(outlet: Outlet, send: Send) -> Block:
    try:
        return await outlet.get()
    except BrokenResult as broken:
        # Left without its end: the connection breaks, so nobody takes the result for complete.
        await send({"type": "http.response.body", "body": broken.frame, "more_body": True})
        raise
    except QueryError as error:
        raise BrokenResult(b"", error) from error


def _log_error(error: QueryError, request: QueryRequest, started: float) -> None:
    # Neither SQL nor the engine's text: both can hold customers' data.
    taken_ms = round((time.perf_counter() - started) * 1000)
    log.warning(
        "query failed",
        extra={"code": error.code, "error": error.name, "query_id": request.query_id, "taken_ms": taken_ms},
    )
