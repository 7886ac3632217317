"""The embedded engine: runs one query's statement on a connection of its own, within the server's limits."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field

from stack.clickhouse import chdb_module, errors, limits
from stack.clickhouse.config import ServerConfig
from stack.clickhouse.connection import Block, Connection, Stats, quoted
from stack.clickhouse.errors import QueryError
from stack.clickhouse.request import QueryRequest
from stack.clickhouse.sessions import Sessions
from stack.clickhouse.statement import Statement, parse
from stack.clickhouse.tokens import words

#: Formats whose blocks, one after the other, are one valid result; others repeat a header or footer.
_BLOCKWISE = words(
    """
    Native RowBinary TabSeparated TabSeparatedRaw TSV TSVRaw Raw CSV TSKV JSONEachRow JSONLines JSONL NDJSON
    JSONStringsEachRow JSONCompactEachRow JSONCompactStringsEachRow LineAsString MsgPack
    """
)
_PIECE = 1 << 20


@dataclass(slots=True)
class Job:
    """A query under way. `stop` may come from any thread, before or while it runs."""

    request: QueryRequest
    #: Finds the query in `system.processes`: chDB gives queries ids of its own.
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    stopped: QueryError | None = None
    #: Nothing of it runs any more, though its result may still be on the way.
    finished: bool = False

    def check(self) -> None:
        if self.stopped is not None:
            raise self.stopped


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be sent back: known once the statement is parsed."""

    statement: Statement
    format: str
    content_type: str


class Engine:
    """Owns the data directory. All methods block; `blocks` and `kill` may be called from many threads."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._chdb = chdb_module.load()
        options = {
            "max_server_memory_usage": 2 * config.max_memory_bytes,
            "mark_cache_size": 128 << 20,
            "background_pool_size": 2,
        }
        started = f"{config.path}?" + "&".join(f"{name}={value}" for name, value in options.items())
        # Held to the end: the engine shuts down with its last connection.
        self._anchor = Connection(self._chdb, started)
        self._control_lock = threading.Lock()
        self.version, self.timezone = self._one_row("SELECT version(), timezone()")
        self._formats = self._read_formats()
        self._sessions = Sessions(self._connect, self._start_session)

    def close(self) -> None:
        """Close every connection; call it when no query runs any more."""
        self._sessions.close()
        self._anchor.close()

    def plan(self, request: QueryRequest) -> Plan:
        """Parse the request's SQL. Raises `QueryError`."""
        statement = parse(request.sql)
        default = self._formats.get(request.default_format.lower())
        if default is None:
            raise QueryError(errors.UNKNOWN_FORMAT, f"Unknown format {request.default_format[:80]!r}")
        # An unknown FORMAT in the SQL is the engine's to refuse: it names similar ones.
        name, content_type = self._formats.get((statement.output_format or "").lower(), default)
        return Plan(statement, name, content_type)

    def blocks(self, job: Job, plan: Plan) -> Iterator[Block]:
        """Run the query and yield its result, one block or more. Raises `QueryError`, also between blocks."""
        statement, request = plan.statement, job.request
        try:
            with self._sessions.connection(request.session, statement.pins_session) as (connection, kept):
                settings = limits.settings(request, self._config, job.mark, kept, plan.format in _BLOCKWISE)
                job.check()
                connection.apply(settings)
                try:
                    if request.database:
                        connection.use(request.database)
                    yield from self._run(connection, job, plan)
                finally:
                    if kept:
                        connection.reset(settings, limits.defaults(self._config))
        except QueryError:
            # A killed query fails with 394; the client is told why it was killed.
            job.check()
            raise

    def kill(self, mark: str) -> None:
        """Ask the engine to stop the query with this mark; no error when it is not running."""
        with self._control_lock:
            self._anchor.run(f"KILL QUERY WHERE endsWith(Settings['log_comment'], {quoted(mark)}) ASYNC")

    def _run(self, connection: Connection, job: Job, plan: Plan) -> Iterator[Block]:
        statement, request = plan.statement, job.request
        for table in request.externals:
            create = f"CREATE TEMPORARY TABLE `{table.name}` ({table.structure})".encode()
            self._check(connection, parse(create), readonly=False)
            connection.run(create)
            connection.insert(
                f"INSERT INTO `{table.name}`".encode(), table.format, memoryview(table.data), {}
            )
        kind = self._check(connection, statement, request.readonly)
        if statement.insert_format is not None:
            stats = connection.insert(statement.head, statement.insert_format, statement.data, request.params)
            yield Block(b"", stats, last=True)
        elif statement.streams and kind == "READ_ONLY" and plan.format in _BLOCKWISE:
            yield from self._streamed(connection, job, plan)
        else:
            result = connection.run(statement.head, plan.format, request.params)
            yield from _pieces(result.bytes(), Stats().plus(result))

    def _check(self, connection: Connection, statement: Statement, readonly: bool) -> str:
        sql = statement.head
        if statement.insert_format is not None:
            sql += b" VALUES"
        kind, count = connection.classify(sql)
        if count > 1:
            raise QueryError(errors.SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
        if count == 0:
            connection.explain_syntax_error(sql)
        if readonly and kind != "READ_ONLY" and statement.verb not in (b"SET", b"USE"):
            raise QueryError(
                errors.READONLY,
                "default: Cannot execute query in readonly mode. For queries over HTTP, method GET implies "
                "readonly. You should use method POST for modifying queries.",
            )
        return kind

    def _streamed(self, connection: Connection, job: Job, plan: Plan) -> Iterator[Block]:
        held: tuple[bytes, Stats] = (b"", Stats())
        # One block is held back: the last one must be known as such, and most results are one block.
        with closing(connection.select(plan.statement.head, plan.format, job.request.params)) as found:
            for following in found:
                job.check()
                if held[0]:
                    yield Block(*held, last=False)
                held = following
        yield Block(*held, last=True)

    def _connect(self) -> Connection:
        return Connection(self._chdb, str(self._config.path))

    def _start_session(self, connection: Connection) -> None:
        connection.apply(limits.defaults(self._config))

    def _one_row(self, sql: str) -> list[str]:
        text: str = self._anchor.run(sql).bytes().decode()
        return text.rstrip("\n").split("\t")

    def _read_formats(self) -> Mapping[str, tuple[str, str]]:
        rows = (
            self._anchor.run("SELECT name, content_type FROM system.formats WHERE is_output").bytes().decode()
        )
        found = (line.split("\t") for line in rows.splitlines())
        return {name.lower(): (name, content_type) for name, content_type in found}


def _pieces(data: bytes, stats: Stats) -> Iterator[Block]:
    if len(data) <= _PIECE:
        yield Block(data, stats, last=True)
        return
    for start in range(0, len(data), _PIECE):
        yield Block(data[start : start + _PIECE], stats, last=start + _PIECE >= len(data))
