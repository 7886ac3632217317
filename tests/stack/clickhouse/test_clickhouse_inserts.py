"""Inserts: every shape they arrive in, all or nothing, once per token, compressed and not."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from clickhouse_process import ServerProcess

#: RELIABILITY §3: what every insert of the product carries.
ONCE = {
    "async_insert": "0",
    "insert_deduplicate": "1",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
}


@pytest.fixture
def table(server: ServerProcess) -> str:
    server.query("CREATE OR REPLACE TABLE pairs (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    return "pairs"


def contents(server: ServerProcess) -> list[list[str]]:
    return server.rows("SELECT a, b FROM pairs ORDER BY a")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO pairs VALUES (1, 'x'), (2, 'y')",
        "INSERT INTO pairs (a, b) VALUES (1, 'x'), (1 + 1, lower('Y'));",
        "INSERT INTO TABLE pairs (b, a) VALUES ('x', 1), ('y', 2)",
        "/* VALUES */ insert into `pairs` (a, b) -- FORMAT TSV\n values (1, 'x') (2, 'y')",
        "INSERT INTO pairs (a, b) VALUES (1, 'x'), (2, concat('', {y:String}))",
        "INSERT INTO pairs FORMAT CSV\n1,x\n2,y\n",
        "INSERT INTO pairs FORMAT CSV 1,x\n2,y",
        "INSERT INTO pairs SETTINGS async_insert = 0, max_threads = 1 FORMAT JSONEachRow\r\n"
        '{"a":1,"b":"x"}\n{"a":2,"b":"y"}',
        "INSERT INTO default.pairs (a, b) FORMAT TabSeparated\n1\tx\n2\ty\n",
        "INSERT INTO pairs SELECT number + 1, char(120 + number) FROM numbers(2)",
        "INSERT INTO pairs WITH 1 AS one SELECT number + one, char(120 + number) FROM numbers(2)",
        "INSERT INTO pairs (a, b) (SELECT number + 1, char(120 + number) FROM numbers(2))",
    ],
)
def test_forms_of_insert(server: ServerProcess, table: str, sql: str) -> None:
    answer = server.query(sql, param_y="y")
    assert (answer.status_code, answer.text) == (200, ""), answer.text
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert contents(server) == [["1", "x"], ["2", "y"]]


def test_query_in_url_and_data_in_body(server: ServerProcess, table: str) -> None:
    server.query("1,x\n", query="INSERT INTO pairs FORMAT CSV")
    server.query("(2,'y')", query="INSERT INTO pairs VALUES")
    server.query("3\tz\n", query="INSERT INTO pairs (a, b) FORMAT TSV")
    assert contents(server) == [["1", "x"], ["2", "y"], ["3", "z"]]


def test_binary_data_is_untouched(server: ServerProcess, table: str) -> None:
    # Row 1 starts with the bytes of line ends, a NUL and a quote; nothing of it may be taken for SQL.
    every = bytes(range(256))
    rows = b"".join(n.to_bytes(8, "little") + b"\x80\x02" + every for n in (10, 0x0A0D, 0x27))
    body = b"INSERT INTO pairs (a, b) FORMAT RowBinary\n" + rows
    assert server.http.post("/", content=body).status_code == 200
    answer = server.query("SELECT a, b FROM pairs ORDER BY a FORMAT RowBinary")
    assert sorted(answer.content.split(every)) == sorted(rows.split(every))


def test_a_broken_insert_leaves_nothing(server: ServerProcess, table: str) -> None:
    rows = "".join(f"{n},x\n" for n in range(50_000))
    answer = server.query("INSERT INTO pairs FORMAT CSV\n" + rows + "no number,x\n")
    assert answer.status_code == 400
    data = server.query("SELECT number AS a, 'x' AS b FROM numbers(1000) FORMAT Native").content
    answer = server.http.post("/", content=b"INSERT INTO pairs FORMAT Native\n" + data[:-5])
    assert answer.headers["X-ClickHouse-Exception-Code"] == "33"
    answer = server.query("INSERT INTO nope FORMAT CSV\n1,x\n")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "60"
    assert contents(server) == []


def test_one_insert_is_one_part(server: ServerProcess, table: str) -> None:
    rows = b"".join(b"%d\t%s\n" % (n, b"x" * 100) for n in range(100_000))
    server.http.post("/", params={"query": "INSERT INTO pairs FORMAT TSV"}, content=rows)
    assert server.rows("SELECT uniqExact(_part), count() FROM pairs") == [["1", "100000"]]


def test_an_empty_insert_is_nothing(server: ServerProcess, table: str) -> None:
    assert server.query("INSERT INTO pairs FORMAT Native\n").status_code == 200
    assert contents(server) == []


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", ENCODERS)
def test_compressed_body(server: ServerProcess, table: str, encoding: str) -> None:
    body = ENCODERS[encoding](b"INSERT INTO pairs FORMAT CSV\n" + b"1,x\n" * 100_000)
    answer = server.http.post("/", content=body, headers={"Content-Encoding": encoding})
    assert answer.status_code == 200, answer.text
    half = ENCODERS[encoding](b"2,y\n") + ENCODERS[encoding](b"3,z\n")
    url = {"query": "INSERT INTO pairs FORMAT CSV"}
    assert (
        server.http.post("/", params=url, content=half, headers={"Content-Encoding": encoding}).status_code
        == 200
    )
    assert server.rows("SELECT a, count() FROM pairs GROUP BY a ORDER BY a") == [
        ["1", "100000"],
        ["2", "1"],
        ["3", "1"],
    ]


@pytest.mark.parametrize("encoding", ENCODERS)
def test_damaged_compression_is_refused(server: ServerProcess, encoding: str) -> None:
    good = ENCODERS[encoding](b"SELECT 1" * 1_000)
    for bad in (good[:-10], b"\xff" * 50, good[:8]):
        answer = server.http.post("/", content=bad, headers={"Content-Encoding": encoding})
        assert answer.headers["X-ClickHouse-Exception-Code"] == "271", answer.text
    answer = server.http.post("/", content=good, headers={"Content-Encoding": "snappy"})
    assert answer.status_code == 415


@pytest.mark.parametrize("encoding", ["zstd", "lz4", "gzip", "deflate"])
def test_compressed_answer(server: ServerProcess, encoding: str) -> None:
    sql = b"SELECT number FROM numbers(500000)"
    url = {"enable_http_compression": "1"}
    with server.http.stream(
        "POST", "/", params=url, content=sql, headers={"Accept-Encoding": f"br, {encoding};q=0.5"}
    ) as answer:
        assert answer.headers["Content-Encoding"] == encoding
        raw = b"".join(answer.iter_raw())
    readers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "lz4": lz4.frame.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    }
    assert readers[encoding](raw).count(b"\n") == 500_000
    url = {"enable_http_compression": "0"}
    plain = server.http.post("/", params=url, content=b"SELECT 1", headers={"Accept-Encoding": encoding})
    assert "Content-Encoding" not in plain.headers


def metered(server: ServerProcess, window: int = 1_000) -> None:
    """A table and a materialized view into another, both deduplicating."""
    keep = f"SETTINGS non_replicated_deduplication_window = {window}"
    for sql in (
        "DROP TABLE IF EXISTS per_org_view",
        "CREATE OR REPLACE TABLE usage (id UInt64, org String, n UInt64) ENGINE = MergeTree "
        f"ORDER BY id {keep}",
        "CREATE OR REPLACE TABLE per_org (org String, n UInt64) ENGINE = SummingMergeTree "
        f"ORDER BY org {keep}",
        "CREATE MATERIALIZED VIEW per_org_view TO per_org AS SELECT org, sum(n) AS n FROM usage GROUP BY org",
    ):
        answer = server.query(sql)
        assert answer.status_code == 200, answer.text


def totals(server: ServerProcess) -> tuple[list[str], list[str]]:
    raw = server.rows("SELECT count(), uniqExact(id), sum(n) FROM usage")[0]
    return raw, server.rows("SELECT sum(n) FROM per_org")[0]


@pytest.mark.parametrize("where", ["url", "sql"])
def test_a_token_counts_once_in_table_and_view(server: ServerProcess, where: str) -> None:
    metered(server)
    for token, first in (("p:0-9", 0), ("p:0-9", 0), ("p:10-19", 10), ("p:0-9", 0)):
        data = "".join(f"{n}\torg{n % 2}\t1\n" for n in range(first, first + 10))
        once = {**ONCE, "insert_deduplication_token": token}
        clause = "SETTINGS " + ", ".join(f"{name} = '{value}'" for name, value in once.items())
        sql = f"INSERT INTO usage {clause if where == 'sql' else ''} FORMAT TSV\n{data}"
        answer = server.query(sql, **(once if where == "url" else {}))
        assert answer.status_code == 200, answer.text
    assert totals(server) == (["20", "20", "20"], ["20"])


def test_without_a_token_equal_rows_under_another_token_count_again(server: ServerProcess) -> None:
    """The guard is the token: take it away and the test above must be red."""
    metered(server, window=0)
    for _ in range(2):
        server.query("INSERT INTO usage FORMAT TSV\n1\ta\t1\n", **ONCE, insert_deduplication_token="t")
    assert totals(server)[0][0] == "2"


def test_settings_do_not_leak_into_the_next_query(server: ServerProcess) -> None:
    server.query("SELECT 1", insert_deduplication_token="leak", max_threads="1", database="system")
    seen = "SELECT getSetting('insert_deduplication_token'), getSetting('max_threads'), currentDatabase()"
    assert server.rows(seen) == [["", "2", "default"]]


def test_readers_see_whole_inserts_only(server: ServerProcess, table: str) -> None:
    stop, seen = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            seen.append(int(server.rows("SELECT count() FROM pairs")[0][0]))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    body = b"".join(b"%d\tx\n" % n for n in range(1_000))
    for _ in range(25):
        server.http.post("/", params={"query": "INSERT INTO pairs FORMAT TSV"}, content=body)
    stop.set()
    for reader in readers:
        reader.join()
    assert len(seen) > 10
    assert all(count % 1_000 == 0 for count in seen)
    assert server.rows("SELECT count() FROM pairs") == [["25000"]]
