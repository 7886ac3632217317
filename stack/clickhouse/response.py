"""Responses in ClickHouse's dress."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from stack.clickhouse.connection import Stats
from stack.clickhouse.errors import QueryError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PLAIN = "text/plain; charset=UTF-8"
DISPLAY_NAME = b"runmeter"


def headers(**named: str) -> Headers:
    """Return response headers: `x_clickhouse_format="CSV"` becomes `x-clickhouse-format: CSV`."""
    found = [
        (name.replace("_", "-").encode(), value.encode("latin-1", "replace")) for name, value in named.items()
    ]
    return [*found, (b"x-clickhouse-server-display-name", DISPLAY_NAME)]


def summary(stats: Stats) -> str:
    """Return the value of `X-ClickHouse-Summary`: counts as strings, as ClickHouse sends them."""
    return json.dumps(
        {
            "read_rows": str(stats.read_rows),
            "read_bytes": str(stats.read_bytes),
            "written_rows": str(stats.written_rows),
            "written_bytes": str(stats.written_bytes),
            "total_rows_to_read": str(stats.read_rows),
            "result_rows": str(stats.result_rows),
            "result_bytes": str(stats.result_bytes),
            "elapsed_ns": str(stats.elapsed_ns),
        },
        separators=(",", ":"),
    )


async def send_whole(send: Send, status: int, body: bytes, found: Headers) -> None:
    """Send a response whose length is known."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*found, length]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: QueryError, version: str, query_id: str) -> None:
    """Send an error that came before any byte of a result."""
    found = headers(
        content_type=PLAIN, x_clickhouse_exception_code=str(error.code), x_clickhouse_query_id=query_id
    )
    if error.status == 503:
        found.append((b"retry-after", b"1"))
    await send_whole(send, error.status, error.body(version), found)
