"""The interface as curl sees it: routes, queries, formats, headers, errors."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import httpx
import pytest
from clickhouse_process import ServerProcess


def test_health_answers_ok(server: ServerProcess) -> None:
    for path in ("/ping", "/", "/replicas_status"):
        answer = server.http.get(path)
        assert (answer.status_code, answer.text) == (200, "Ok.\n")
    assert server.http.get("/nothing").status_code == 404
    assert server.http.delete("/").status_code == 501


def test_query_in_url_in_body_and_in_both(server: ServerProcess) -> None:
    assert server.http.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert server.http.post("/", params={"query": "SELECT 1"}).text == "1\n"
    assert server.query("SELECT 1").text == "1\n"
    assert server.query("FROM numbers(2)", query="SELECT *").text == "0\n1\n"


def test_get_does_not_write(server: ServerProcess) -> None:
    server.query("CREATE TABLE get_only (a UInt8) ENGINE = MergeTree ORDER BY a")
    for sql in ("INSERT INTO get_only VALUES (1)", "DROP TABLE get_only", "SYSTEM FLUSH LOGS"):
        answer = server.http.get("/", params={"query": sql})
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert server.rows("SELECT count() FROM get_only") == [["0"]]
    assert server.http.get("/", params={"query": "SELECT getSetting('readonly')"}).text == "2\n"


def test_readonly_setting_is_honoured(server: ServerProcess) -> None:
    answer = server.query("CREATE TABLE never (a UInt8) ENGINE = Memory", readonly="1")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"


def test_format_by_clause_header_and_url(server: ServerProcess) -> None:
    assert server.query("SELECT 1 AS a FORMAT JSONEachRow").text == '{"a":1}\n'
    assert server.query("SELECT 1 AS a", default_format="CSVWithNames").text == '"a"\n1\n'
    answer = server.http.post("/", headers={"X-ClickHouse-Format": "JSON"}, content=b"SELECT 1 AS a")
    assert answer.json()["data"] == [{"a": 1}]
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert answer.headers["X-ClickHouse-Format"] == "JSON"


def test_word_format_that_is_no_clause(server: ServerProcess) -> None:
    answer = server.query("SELECT format FROM (SELECT 'JSON' AS format) -- FORMAT CSV", default_format="TSV")
    assert answer.text == "JSON\n"
    assert answer.headers["X-ClickHouse-Format"] == "TSV"


def test_headers_are_those_of_clickhouse(server: ServerProcess) -> None:
    answer = server.query("SELECT number FROM numbers(10)", query_id="my-query-1")
    assert answer.headers["X-ClickHouse-Query-Id"] == "my-query-1"
    assert answer.headers["X-ClickHouse-Timezone"]
    assert answer.headers["X-ClickHouse-Server-Display-Name"]
    assert answer.headers["Content-Type"] == "text/tab-separated-values; charset=UTF-8"
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("10", "10")
    assert int(summary["elapsed_ns"]) > 0


def test_settings_and_database_of_the_url(server: ServerProcess) -> None:
    assert server.query("SELECT getSetting('max_threads')", max_threads="1").text == "1\n"
    assert server.query("SELECT getSetting('max_threads')").text == "2\n"
    assert server.query("SELECT currentDatabase()", database="system").text == "system\n"
    answer = server.http.post(
        "/", headers={"X-ClickHouse-Database": "system"}, content=b"SELECT currentDatabase()"
    )
    assert answer.text == "system\n"


@pytest.mark.parametrize(
    ("sql", "url", "status", "code", "name"),
    [
        ("SELECT * FROM nope", {}, 404, 60, "UNKNOWN_TABLE"),
        ("SELECT nope", {}, 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT nope(1)", {}, 404, 46, "UNKNOWN_FUNCTION"),
        ("SELECT 1", {"database": "no`pe\\"}, 404, 81, "UNKNOWN_DATABASE"),
        ("SELECT 1", {"nope": "1"}, 404, 115, "UNKNOWN_SETTING"),
        ("SELECT 1", {"a = 1, readonly": "0"}, 404, 115, "UNKNOWN_SETTING"),
        ("SELECT 1 FORMAT Nope", {}, 404, 73, "UNKNOWN_FORMAT"),
        ("SELECT 1", {"default_format": "No\r\npe: 1"}, 404, 73, "UNKNOWN_FORMAT"),
        ("SELECT FROM WHERE", {}, 400, 62, "SYNTAX_ERROR"),
        ("", {}, 400, 62, "SYNTAX_ERROR"),
        (" -- nothing", {}, 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1; DROP TABLE x", {}, 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1; DROP TABLE", {}, 400, 62, "SYNTAX_ERROR"),
        ("INSERT INTO x", {}, 400, 62, "SYNTAX_ERROR"),
        ("SELECT toUInt8('x')", {}, 400, 6, "CANNOT_PARSE_TEXT"),
        (
            "SELECT throwIf(1, 'Code: 60. DB::Exception: x')",
            {},
            500,
            395,
            "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
        ),
        ("SELECT 1", {"compress": "1"}, 501, 48, "NOT_IMPLEMENTED"),
        ("SELECT 1", {"query_id": "a\nb"}, 400, 36, "BAD_ARGUMENTS"),
        ("SELECT 1", {"max_memory_usage": "9Gi"}, 400, 36, "BAD_ARGUMENTS"),
    ],
)
def test_errors_as_clickhouse(
    server: ServerProcess, sql: str, url: dict[str, str], status: int, code: int, name: str
) -> None:
    answer = server.query(sql, **url)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name}) (version " in answer.text


def test_multiple_statements_run_none(server: ServerProcess) -> None:
    for tail in ("SELECT 1", "SELECT (", "garbage ("):
        server.query(f"CREATE TABLE multi (a UInt8) ENGINE = Memory; {tail}")
    assert server.rows("EXISTS TABLE multi") == [["0"]]
    assert server.query("SELECT 1;").text == "1\n"


def _remembering(pieces: Iterator[bytes], seen: bytearray) -> Iterator[bytes]:
    for piece in pieces:
        seen[:] = (seen + piece)[-4_000:]
        yield b""


def test_error_after_the_first_bytes_is_marked_and_breaks_the_answer(server: ServerProcess) -> None:
    sql = b"SELECT number, throwIf(number = 3000000, 'too far') FROM numbers(5000000)"
    seen = bytearray()
    with server.http.stream("POST", "/", content=sql) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            seen.extend(b"".join(_remembering(answer.iter_bytes(), seen)))
    tag = answer.headers["X-ClickHouse-Exception-Tag"].encode()
    assert b"\r\n__exception__\r\n" + tag in seen
    assert b"too far" in seen


def test_error_after_rows_is_plain_when_the_client_waits_for_the_end(server: ServerProcess) -> None:
    sql = "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)"
    assert server.query(sql, wait_end_of_query="1").status_code == 500
    rows = server.query("SELECT number FROM numbers(3000000)", wait_end_of_query="1").text
    assert (rows.count("\n"), rows[-8:]) == (3_000_000, "2999999\n")


@pytest.mark.parametrize(
    "name", ["Native", "RowBinary", "TabSeparated", "CSV", "JSONEachRow", "JSONCompactEachRow"]
)
def test_a_large_streamed_result_is_whole(server: ServerProcess, name: str) -> None:
    sql = "SELECT number AS a, concat('é', toString(number)) AS b FROM numbers(300000)"
    server.query("CREATE OR REPLACE TABLE copy (a UInt64, b String) ENGINE = Memory")
    data = server.query(f"{sql} FORMAT {name}").content
    answer = server.http.post("/", params={"query": f"INSERT INTO copy FORMAT {name}"}, content=data)
    assert answer.status_code == 200, answer.text
    assert server.rows("SELECT count(), uniqExact(a), sum(cityHash64(a, b)) FROM copy") == server.rows(
        f"SELECT count(), uniqExact(a), sum(cityHash64(a, b)) FROM ({sql})"
    )


@pytest.mark.parametrize(
    "name",
    ["Parquet", "Arrow", "ORC", "JSON", "CSVWithNames", "TSVWithNamesAndTypes", "RowBinaryWithNamesAndTypes"],
)
def test_a_result_with_header_or_footer_is_one_document(server: ServerProcess, name: str) -> None:
    sql = "SELECT toUInt64(number) AS a, toString(number) AS b FROM numbers(200000)"
    server.query("CREATE OR REPLACE TABLE copy (a UInt64, b String) ENGINE = Memory")
    data = server.query(f"{sql} FORMAT {name}").content
    server.http.post("/", params={"query": f"INSERT INTO copy FORMAT {name}"}, content=data)
    assert server.rows("SELECT count(), uniqExact(a) FROM copy") == [["200000", "200000"]]


def test_parquet_is_read_by_others(server: ServerProcess) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    data = server.query("SELECT number AS a FROM numbers(100000) FORMAT Parquet").content
    assert parquet.read_table(io.BytesIO(data)).num_rows == 100_000


def test_statements_without_rows_and_metadata_statements(server: ServerProcess) -> None:
    assert server.query("CREATE DATABASE IF NOT EXISTS other").text == ""
    assert ["other"] in server.rows("SHOW DATABASES")
    assert server.query("SELECT * FROM numbers(0)").text == ""
    assert server.query("SELECT number FROM numbers(0) FORMAT CSVWithNames").text == '"number"\n'
    assert "ReadFromSystemOne" in server.query("EXPLAIN SELECT 1").text
    assert server.rows("DESCRIBE TABLE system.one")[0][:2] == ["dummy", "UInt8"]
    assert server.rows("WITH 1 AS a SELECT a") == [["1"]]
    assert server.rows("(SELECT 1) UNION ALL (SELECT 1)") == [["1"], ["1"]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT file('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM default.`/etc/hostname`",
        "SELECT * FROM numbers(1), default.`/etc/hostname`",
        "DESCRIBE TABLE `/etc/hostname`",
        "SELECT (SELECT count() FROM /* x */ url ( 'http://127.0.0.1/', CSV))",
        "INSERT INTO FUNCTION file('/tmp/x', 'CSV', 'a UInt8') SELECT 1",
        "INSERT INTO FUNCTION file('/tmp/x', 'CSV', 'a UInt8') VALUES (1)",
        "CREATE TABLE leak (a String) ENGINE = File(CSV, '/etc/hostname')",
        "CREATE TABLE leak (a String) ENGINE File(CSV, '/etc/hostname')",
        "CREATE TABLE leak (a String) ENGINE = Kafka SETTINGS kafka_broker_list = 'x'",
        "CREATE DATABASE leak ENGINE = Filesystem('/etc')",
        "CREATE DICTIONARY d (a UInt8) PRIMARY KEY a SOURCE(EXECUTABLE(COMMAND 'id'))",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM Python(sys)",
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "BACKUP TABLE x TO File('/tmp/x')",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "INSERT INTO x FROM INFILE '/etc/hostname' FORMAT CSV",
    ],
)
def test_sql_does_not_leave_the_database(server: ServerProcess, sql: str) -> None:
    answer = server.query(sql)
    assert answer.headers["X-ClickHouse-Exception-Code"] in ("497", "358", "78"), answer.text


def test_names_like_files_are_no_files(server: ServerProcess) -> None:
    assert server.query("SELECT * FROM `server.lock`").status_code == 404
    assert server.rows("SELECT 'a/b' AS `c/d`, engine = 'x' FROM system.tables LIMIT 1") == [["a/b", "0"]]
