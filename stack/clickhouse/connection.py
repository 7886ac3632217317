"""One chDB connection: an own database, settings and temporary tables, like one ClickHouse session.

Opening and closing one takes 0.13 ms, so each query gets its own and nothing leaks from one to the next.
Connections run in parallel and release the GIL. All methods block and raise `QueryError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from stack.clickhouse import errors
from stack.clickhouse.errors import QueryError

T = TypeVar("T")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of one query up to now, as in `X-ClickHouse-Summary`; `written_rows` include views' rows."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0

    def plus(self, result: Any) -> Stats:
        return Stats(
            self.read_rows + result.storage_rows_read(),
            self.read_bytes + result.storage_bytes_read(),
            self.written_rows + result.rows_written(),
            self.written_bytes + result.bytes_written(),
            self.result_rows + result.rows_read(),
            self.result_bytes + result.bytes_read(),
            self.elapsed_ns + int(result.elapsed() * 1e9),
        )


class Block(NamedTuple):
    """A piece of a result as it goes to the client; `last` says that none follows."""

    data: bytes
    stats: Stats
    last: bool


class Connection:
    """Not thread-safe: one statement at a time."""

    def __init__(self, chdb: Any, path: str) -> None:
        self._raw = _engine_call(lambda: chdb.connect(path))

    def close(self) -> None:
        self._raw.close()

    def run(
        self, sql: bytes | str, format_name: str = "TabSeparated", params: Mapping[str, str] | None = None
    ) -> Any:
        """Run one statement to its end and return chDB's result (`.bytes()`, counts)."""
        return _engine_call(lambda: self._raw.query(sql, format_name, params=dict(params or {})))

    def apply(self, settings: Mapping[str, str]) -> None:
        """SET all of `settings`, in one statement: so `readonly` among them binds only what comes after."""
        for name in settings:
            if not _SETTING.fullmatch(name):
                raise QueryError(errors.UNKNOWN_SETTING, f"Unknown setting {name[:80]!r}")
        if settings:
            self.run("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items()))

    def reset(self, names: Iterable[str], defaults: Mapping[str, str]) -> None:
        """Put settings back to `defaults`, and those not in it to the engine's own."""
        values = (f"{name} = {quoted(defaults[name]) if name in defaults else 'DEFAULT'}" for name in names)
        self.run("SET " + ", ".join(values))

    def use(self, database: str) -> None:
        """Make `database` the current one. Raises 81 UNKNOWN_DATABASE."""
        escaped = database.replace("\\", "\\\\").replace("`", "\\`")
        self.run(f"USE `{escaped}`")

    def classify(self, sql: bytes) -> tuple[str, int]:
        """Return a text's class by chDB (READ_ONLY, MUTATING, CONTROL, UNKNOWN …) and how many statements."""
        found = _engine_call(lambda: self._raw.classify_query(sql))
        return found["query_class"].name, found["statement_count"]

    def explain_syntax_error(self, sql: bytes) -> None:
        """Raise the engine's own syntax error for a text that does not parse, without running any of it."""
        text = sql.decode("utf-8", "replace").replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        self.run("SELECT formatQuery({sql:String})", params={"sql": text})
        raise QueryError(errors.SYNTAX_ERROR, "Syntax error: this statement is not understood")

    def select(
        self, sql: bytes, format_name: str, params: Mapping[str, str]
    ) -> Generator[tuple[bytes, Stats], None, None]:
        """Yield a SELECT's blocks, each encoded on its own. Closing the iterator cancels the query."""
        stream = _engine_call(lambda: self._raw.send_query(sql, format_name, params=dict(params)))
        stats, ended = Stats(), False
        try:
            while True:
                result = _engine_call(lambda: self._raw.streaming_fetch_result(stream))
                if result is None or result.rows_read() == 0:
                    ended = True
                    return
                stats = stats.plus(result)
                yield result.bytes(), stats
        except QueryError:
            ended = True
            raise
        finally:
            if not ended:
                self._raw.streaming_cancel_query(stream)

    def insert(self, head: bytes, format_name: str, data: memoryview, params: Mapping[str, str]) -> Stats:
        """Insert `data`, bytes of `format_name`; `head` is the INSERT up to FORMAT or VALUES.

        All or nothing per table partition while the data fit one block (1,048,449 rows).
        """
        if params:
            # send_insert takes no parameters, but those that were SET; their values are TSV-escaped as well.
            self.apply({f"param_{name}": value for name, value in params.items()})
        handle = _engine_call(lambda: self._raw.send_insert(head, format_name))
        try:
            for start in range(0, len(data), _PIECE):
                piece = bytes(data[start : start + _PIECE])
                _engine_call(lambda piece=piece: self._raw.insert_append(handle, piece))  # type: ignore[misc]
            return Stats().plus(_engine_call(lambda: self._raw.insert_done(handle)))
        except QueryError:
            _quietly(lambda: self._raw.insert_cancel(handle))
            raise


def quoted(value: str) -> str:
    """Return `value` as an SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _engine_call(call: Callable[[], T]) -> T:
    try:
        return call()
    except (RuntimeError, UnicodeDecodeError) as error:
        raise errors.from_engine(str(error)) from None


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except RuntimeError:
        return
