"""HTTP sessions: state kept between queries that carry the same `session_id`.

Most clients send one and never use it. So a session costs nothing until a statement changes it (SET, USE,
CREATE TEMPORARY TABLE); from then on it holds a connection of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stack.clickhouse import errors
from stack.clickhouse.connection import Connection
from stack.clickhouse.errors import QueryError
from stack.clickhouse.request import Session

_MAX_SESSIONS = 1_000


@dataclass(slots=True)
class _Kept:
    expires_at: float
    busy: bool = True
    connection: Connection | None = None


class Sessions:
    """Thread-safe. `connect` opens a connection, `start` prepares one that a session will keep."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        start: Callable[[Connection], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._start = start
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    @contextmanager
    def connection(self, session: Session | None, pins: bool) -> Iterator[tuple[Connection, bool]]:
        """Lend a connection, and whether it belongs to the session and outlives this query.

        Raises `QueryError` 373 when another query runs in the session, 372 when it must exist and does not.
        """
        kept = self._take(session) if session else None
        connection = kept.connection if kept else None
        try:
            if connection is None:
                connection = self._connect()
                if kept is not None and pins:
                    self._start(connection)
                    kept.connection = connection
            yield connection, kept is not None and kept.connection is connection
        finally:
            if connection is not None and (kept is None or kept.connection is not connection):
                connection.close()
            if session and kept:
                self._give_back(kept, session)

    def close(self) -> None:
        """Close every kept connection."""
        with self._lock:
            kept, self._kept = list(self._kept.values()), {}
        _close(kept)

    def _take(self, session: Session) -> _Kept:
        with self._lock:
            gone = self._expired()
            kept = self._kept.get(session.name)
            if kept is None and session.must_exist:
                raise QueryError(errors.SESSION_NOT_FOUND, "Session not found or expired")
            if kept is not None and kept.busy:
                raise QueryError(errors.SESSION_IS_LOCKED, "Session is locked by a concurrent client")
            if kept is None:
                kept = self._kept[session.name] = _Kept(0.0)
            kept.busy = True
        _close(gone)
        return kept

    def _give_back(self, kept: _Kept, session: Session) -> None:
        with self._lock:
            kept.busy = False
            kept.expires_at = self._clock() + session.timeout_seconds

    def _expired(self) -> list[_Kept]:
        now = self._clock()
        idle = sorted((s.expires_at, name) for name, s in self._kept.items() if not s.busy)
        surplus = len(self._kept) - _MAX_SESSIONS + 1
        names = [name for n, (expires_at, name) in enumerate(idle) if expires_at <= now or n < surplus]
        return [self._kept.pop(name) for name in names]


def _close(kept: list[_Kept]) -> None:
    for session in kept:
        if session.connection is not None:
            session.connection.close()
