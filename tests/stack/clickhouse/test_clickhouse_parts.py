"""The pieces that need no server: SQL's clauses, error texts, deduplication logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.clickhouse import deduplication
from stack.clickhouse.errors import from_engine
from stack.clickhouse.statement import parse
from stack.clickhouse.tokens import tokens


@pytest.mark.parametrize(
    ("sql", "verb", "output"),
    [
        (b"select 1 format csv", b"SELECT", "csv"),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1;", b"SELECT", "JSON"),
        (b"SELECT format FROM t", b"SELECT", None),
        (b"SELECT a AS format", b"SELECT", None),
        (b"SELECT '\\' FORMAT JSON' -- FORMAT CSV", b"SELECT", None),
        (b"SELECT 1 /* FORMAT CSV */ # FORMAT TSV\n FORMAT Native -- x", b"SELECT", "Native"),
        (b"SELECT $x$ FORMAT CSV $x$ FORMAT TSV", b"SELECT", "TSV"),
        (b"SELECT (SELECT 1 FORMAT) FORMAT Null", b"SELECT", "Null"),
        (b"  -- c\n SHOW TABLES FORMAT `x`", b"SHOW", None),
        (b"CREATE TEMPORARY TABLE x (a Int8)", b"TEMPORARY", None),
    ],
)
def test_verb_and_format(sql: bytes, verb: bytes, output: str | None) -> None:
    statement = parse(sql)
    assert (statement.verb, statement.output_format) == (verb, output)


@pytest.mark.parametrize(
    ("sql", "head", "name", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1\n", b"INSERT INTO t ", "CSV", b"1\n"),
        (b"INSERT INTO t FORMAT CSV\r\n\n1", b"INSERT INTO t ", "CSV", b"\n1"),
        (b"INSERT INTO t FORMAT CSV 1", b"INSERT INTO t ", "CSV", b"1"),
        (b"INSERT INTO t FORMAT Native\n\n\x00;'", b"INSERT INTO t ", "Native", b"\n\x00;'"),
        (b"INSERT INTO format (values) VALUES (1)", b"INSERT INTO format (values) ", "Values", b" (1)"),
        (b"INSERT INTO `a FORMAT b`.values FORMAT TSV\n", b"INSERT INTO `a FORMAT b`.values ", "TSV", b""),
    ],
)
def test_where_the_data_of_an_insert_begin(sql: bytes, head: bytes, name: str, data: bytes) -> None:
    statement = parse(sql)
    assert (statement.head, statement.insert_format, bytes(statement.data)) == (head, name, data)


def test_an_insert_from_a_query_has_no_data() -> None:
    for sql in (b"INSERT INTO t SELECT 1 FORMAT CSV", b"INSERT INTO t (a) (SELECT 1)", b"INSERT INTO t"):
        assert (parse(sql).insert_format, parse(sql).head) == (None, sql)


def test_tokens_cover_any_text() -> None:
    sql = bytes(range(256)) * 3
    found = list(tokens(sql))
    assert all(sql[token.start : token.end] == token.text for token in found)


@pytest.mark.parametrize(
    ("raw", "code", "name", "text"),
    [
        ("Code: 60. DB::Exception: No table t. (UNKNOWN_TABLE)", 60, "UNKNOWN_TABLE", "No table t"),
        (
            "Failed: Code: 73. DB::Exception: Code: 73. DB::Exception: No x. (UNKNOWN_FORMAT) "
            "(version 26.9.2.1). (UNKNOWN_FORMAT) (version 26.9.2.1). (UNKNOWN_FORMAT)",
            73,
            "UNKNOWN_FORMAT",
            "No x",
        ),
        ("something else", 1002, "UNKNOWN_EXCEPTION", "something else"),
    ],
)
def test_engine_errors(raw: str, code: int, name: str, text: str) -> None:
    error = from_engine(raw)
    assert (error.code, error.name, error.text) == (code, name, text)


def test_only_blocks_without_their_part_are_forgotten(tmp_path: Path) -> None:
    table = tmp_path / "store" / "abc" / "abcdef"
    parts = ("all_1_1_0", "all_1_5_2_9", "all_3_3_0", "202601_7_7_0", "tmp_insert_all_6_6_0", "detached")
    for name in (*parts, "deduplication_logs"):
        (table / name).mkdir(parents=True)
    old, new = (table / "deduplication_logs" / f"deduplication_log_{n}.txt" for n in (9, 10))
    old.write_text("1\tall_1_1_0\ta\n1\tall_5_5_0\tb\n1\tall_6_6_0\tlost\n1\tall_9_9_0\tdropped\n")
    new.write_text("2\tall_9_9_0\tdropped\n1\t202601_7_7_0\tc\n1\t202602_7_7_0\tlost too\n1\tall_8")
    assert deduplication.repair(tmp_path) == 2
    assert new.read_text().splitlines()[-2:] == ["2\tall_6_6_0\tlost", "2\t202602_7_7_0\tlost too"]
    assert "all_8" not in new.read_text()
    assert deduplication.repair(tmp_path) == 0
