"""What one SQL text asks for: its verb, its output format, and where an INSERT's data begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stack.clickhouse import errors
from stack.clickhouse.errors import QueryError
from stack.clickhouse.outside import OutsideAccess
from stack.clickhouse.tokens import Token, tokens

#: As much as the tokens are looked at; the engine reads 256 KiB unless `max_query_size` says more.
_MAX_TEXT = 4 << 20
_BEFORE_A_NAME = (b"INTO", b"TABLE", b".")
_NO_DATA = memoryview(b"")
_NOT_A_FORMAT = (b"SETTINGS", b"INTO", b"AS")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. An INSERT with inline data has it apart: `head` + FORMAT `insert_format` + `data`."""

    head: bytes
    verb: bytes
    output_format: str | None = None
    insert_format: str | None = None
    data: memoryview = _NO_DATA

    @property
    def streams(self) -> bool:
        """Say whether this is a SELECT: only those can be read from chDB block by block."""
        return self.verb in (b"SELECT", b"WITH", b"(", b"FROM")

    @property
    def pins_session(self) -> bool:
        """Say whether the statement changes its session (SET, USE, temporary tables)."""
        return self.verb in (b"SET", b"USE", b"TEMPORARY")


def parse(sql: bytes) -> Statement:
    """Return the statement in `sql`.

    Raises `QueryError`: empty or too long (without an INSERT's data), or reaching for files and hosts.
    """
    found = tokens(sql[:_MAX_TEXT])
    first = next(found, None)
    if first is None or first.text == b";":
        raise QueryError(
            errors.SYNTAX_ERROR, "Syntax error: failed at position 1 (end of query): Empty query."
        )
    guard = OutsideAccess()
    guard.see(first)
    if first.word == b"INSERT":
        return _insert(sql, found, guard)
    return _other(sql, first, found, guard)


def _other(sql: bytes, first: Token, rest: Iterator[Token], guard: OutsideAccess) -> Statement:
    verb = first.word or first.text
    output = OutputFormat()
    for index, token in enumerate(rest):
        guard.see(token)
        output.see(token)
        if token.word == b"TEMPORARY" and verb == b"CREATE" and index < 3:
            verb = b"TEMPORARY"
    return _bounded(Statement(sql, verb, output.name))


def _bounded(statement: Statement) -> Statement:
    if len(statement.head) > _MAX_TEXT:
        raise QueryError(errors.SYNTAX_ERROR, f"Syntax error: a statement has at most {_MAX_TEXT} bytes")
    return statement


class OutputFormat:
    """Sees a statement's tokens one by one; `name` is that of its FORMAT clause, if it has one.

    `SELECT format x FROM t` has none: after a FORMAT clause only SETTINGS or the end may come.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self._after: bytes = b""

    def see(self, token: Token) -> None:
        before, self._after = self._after, b""
        if token.depth == 0 and token.word == b"FORMAT":
            self._after = b"FORMAT"
        elif before == b"FORMAT" and token.kind == "word" and token.word not in _NOT_A_FORMAT:
            self.name, self._after = token.text.decode(), b"name"
        elif before == b"name" and token.word != b"SETTINGS" and token.text != b";":
            self.name = None


def _insert(sql: bytes, rest: Iterator[Token], guard: OutsideAccess) -> Statement:
    before = b""
    for token in rest:
        guard.see(token)
        word = token.word if token.depth <= 0 else b""
        if word == b"INFILE":
            raise QueryError(
                errors.UNKNOWN_TYPE_OF_QUERY, "Query has INFILE and was sent directly to the server."
            )
        if token.word in (b"SELECT", b"WITH") and before not in _BEFORE_A_NAME:
            return _other(sql, Token("word", b"INSERT", 0, 0, 0), rest, guard)
        if token.text == b";":
            break
        if word == b"VALUES" and before not in _BEFORE_A_NAME:
            return Statement(sql[: token.start], b"INSERT", None, "Values", memoryview(sql)[token.end :])
        if word == b"FORMAT" and before not in _BEFORE_A_NAME:
            return _with_format(sql, token, rest)
        before = token.text.upper()
    return _bounded(Statement(sql, b"INSERT"))


def _with_format(sql: bytes, keyword: Token, rest: Iterator[Token]) -> Statement:
    name = next(rest, None)
    if name is None or name.kind != "word":
        return Statement(sql, b"INSERT")
    start = name.end
    while sql[start : start + 1] in (b" ", b"\t", b"\f", b";"):
        start += 1
    # Exactly one line end belongs to the statement; a second one is the first byte of the data.
    if sql[start : start + 1] == b"\r":
        start += 1
    if sql[start : start + 1] == b"\n":
        start += 1
    return Statement(sql[: keyword.start], b"INSERT", None, name.text.decode(), memoryview(sql)[start:])
