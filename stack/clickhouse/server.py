"""The ASGI application: `/ping`, `/replicas_status` and queries on `/`."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from stack.clickhouse import errors
from stack.clickhouse.config import ServerConfig
from stack.clickhouse.engine import Engine
from stack.clickhouse.errors import QueryError
from stack.clickhouse.query import QueryRunner
from stack.clickhouse.request import QueryRequest, authenticate, read_query, url_parameters
from stack.clickhouse.response import PLAIN, Receive, Scope, Send, headers, send_error, send_whole
from stack.clickhouse.workers import Workers

log = logging.getLogger(__name__)


class Server:
    """One engine behind one address. Shutting down is the owner's: `close` after the last request."""

    def __init__(self, config: ServerConfig, engine: Engine) -> None:
        self._config = config
        self._engine = engine
        self._workers = Workers(config)
        self._queries = QueryRunner(config, engine, self._workers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        if path in ("/ping", "/replicas_status") or (
            path == "/" and method == "GET" and not scope["query_string"]
        ):
            await send_whole(send, 200, b"Ok.\n", headers(content_type=PLAIN))
        elif path != "/":
            text = f"There is no handle {path}\n\nUse / or /ping for health checks.\nSend queries to / .\n"
            await send_whole(send, 404, text.encode(), headers(content_type=PLAIN))
        elif method not in ("GET", "HEAD", "POST"):
            await send_whole(
                send, 501, b"Use GET for reading and POST for anything.\n", headers(content_type=PLAIN)
            )
        else:
            await self._query(scope, receive, send)

    async def close(self) -> bool:
        """Stop what still runs, let go of the threads, and say whether all of them ended."""
        ended = await self._queries.stop_all()
        self._workers.close()
        return ended

    async def _query(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        held: list[int] = []
        try:
            url = url_parameters(scope["query_string"])
            authenticate(found, url, self._config.password)
            body = await self._body(receive, held)
            request = await self._read(scope["method"], found, url, body)
            del body
            await self._queries.run(request, receive, send)
        except QueryError as error:
            log.warning("request refused", extra={"code": error.code, "error": error.name})
            await send_error(send, error, self._engine.version, "")
        finally:
            self._workers.release(sum(held))

    async def _read(
        self, method: str, found: dict[str, str], url: dict[str, str], body: bytes
    ) -> QueryRequest:
        read = partial(read_query, method, found, url, body, self._config.max_body_bytes)
        plain = "content-encoding" not in found and "multipart" not in found.get("content-type", "")
        return read() if plain else await asyncio.to_thread(read)

    async def _body(self, receive: Receive, held: list[int]) -> bytes:
        whole = bytearray()
        while True:
            try:
                async with asyncio.timeout(self._config.stall_seconds):
                    message = await receive()
            except TimeoutError:
                raise QueryError(
                    errors.SOCKET_TIMEOUT, "Timeout while receiving the request's body"
                ) from None
            if message["type"] == "http.disconnect":
                raise QueryError(errors.NETWORK_ERROR, "The client left in mid-request")
            piece: bytes = message.get("body", b"")
            if len(whole) + len(piece) > self._config.max_body_bytes:
                raise QueryError(
                    errors.QUERY_IS_TOO_LARGE, f"The body is larger than {self._config.max_body_bytes} bytes"
                )
            self._workers.reserve(len(piece))
            held.append(len(piece))
            whole += piece
            if not message.get("more_body", False):
                return bytes(whole)
