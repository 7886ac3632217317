"""What the server is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Address, place and limits of one server; every queue, body and query has a bound."""

    path: Path
    host: str = "127.0.0.1"
    port: int = 18123
    #: Empty: any user and password are let in, as ClickHouse's `default` user without a password.
    password: str = field(default="", repr=False)
    #: Threads one query may use.
    max_threads: int = 2
    #: Memory one query may use; the engine as a whole gets twice this.
    max_memory_bytes: int = 1024 * MIB
    max_query_seconds: float = 60.0
    max_concurrent_queries: int = 16
    max_queued_queries: int = 64
    queue_wait_seconds: float = 10.0
    #: One request body, as received and after decompression.
    max_body_bytes: int = 256 * MIB
    #: All request bodies held at once, as received.
    max_buffered_bytes: int = 512 * MIB
    #: A result that must be complete before its first byte can be sent.
    max_result_bytes: int = 512 * MIB
    #: How long a client may take to send the next piece of a body, or to take the next piece of a result.
    stall_seconds: float = 30.0
    #: How long running queries may go on after SIGTERM.
    shutdown_grace_seconds: float = 10.0
