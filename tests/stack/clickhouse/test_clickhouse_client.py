"""The official client, sync and async, as the product and its analysts use it."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import clickhouse_connect
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData
from clickhouse_process import ServerProcess

COLUMNS = {
    "id": "UInt64",
    "org": "LowCardinality(String)",
    "at": "DateTime64(3, 'UTC')",
    "credits": "Decimal(18, 6)",
    "note": "Nullable(String)",
    "tags": "Array(String)",
    "extra": "Map(String, Int64)",
    "ref": "UUID",
    "final": "Bool",
}
NOW = dt.datetime(2026, 3, 1, 12, 30, 15, 123_000, tzinfo=dt.UTC)
REF = uuid.UUID(int=7)


def row(n: int) -> tuple[object, ...]:
    note = None if n % 3 else f"né{n}\n'"
    return (n, f"org{n % 5}", NOW, Decimal(n) / 8, note, [str(n), ""], {"k": n}, REF, n % 2 == 0)


def as_read(n: int) -> tuple[object, ...]:
    """The client gives UTC times without a zone."""
    return tuple(NOW.replace(tzinfo=None) if value is NOW else value for value in row(n))


@pytest.fixture(params=[False, "lz4", "zstd", "gzip"])
def client(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Client]:
    with clickhouse_connect.get_client(host="127.0.0.1", port=server.port, compress=request.param) as made:
        yield made


@pytest.fixture
async def aclient(server: ServerProcess) -> AsyncIterator[AsyncClient]:
    made = await clickhouse_connect.get_async_client(
        host="127.0.0.1", port=server.port, autogenerate_session_id=False
    )
    yield made
    await made.close()


def create(name: str) -> str:
    columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
    return f"CREATE OR REPLACE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY id"


def test_insert_and_read_back_every_type(client: Client) -> None:
    client.command(create("kinds"))
    rows = [row(n) for n in range(5_000)]
    summary = client.insert("kinds", rows, column_names=list(COLUMNS))
    assert summary.written_rows == 5_000
    result = client.query("SELECT * FROM kinds ORDER BY id")
    assert list(result.column_names) == list(COLUMNS)
    assert [tuple(found) for found in result.result_rows] == [as_read(n) for n in range(5_000)]


def test_commands_streams_and_raw(client: Client) -> None:
    assert client.ping()
    assert client.server_version.startswith("26.")
    assert client.command("SELECT 1 + 1") == 2
    client.command("CREATE OR REPLACE TABLE raw (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    client.raw_insert("raw", ["a", "b"], b"1,x\n2,y\n", fmt="CSV")
    assert client.raw_query("SELECT * FROM raw ORDER BY a", fmt="CSV") == b'1,"x"\n2,"y"\n'
    with client.raw_stream("SELECT number FROM numbers(300000)", fmt="TSV") as stream:
        assert sum(piece.count(b"\n") for piece in iter(lambda: stream.read(100_000), b"")) == 300_000
    with client.query_row_block_stream("SELECT number FROM numbers(300000)") as blocks:
        assert sum(number for block in blocks for (number,) in block) == 300_000 * 299_999 // 2
    assert client.query("SELECT * FROM raw LIMIT 0").column_names == ("a", "b")


def test_parameters_settings_and_errors(client: Client) -> None:
    found = client.query(
        "SELECT {a:String}, {d:DateTime}, {l:Array(UInt8)}", parameters={"a": "it's", "d": NOW, "l": [1, 2]}
    )
    assert found.result_rows == [("it's", NOW.replace(microsecond=0, tzinfo=None), [1, 2])]
    assert client.query("SELECT getSetting('max_threads')", settings={"max_threads": 1}).result_rows == [(1,)]
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        client.query("SELECT * FROM nope")
    assert caught.value.code == 60
    with pytest.raises(DatabaseError, match="UNKNOWN_DATABASE"):
        client.command("SELECT 1", settings={"database": "nope"})


def test_a_long_parameter_travels_as_a_form(client: Client) -> None:
    assert client.query("SELECT length({x:String})", parameters={"x": "é'" * 20_000}).result_rows == [
        (60_000,)
    ]


def test_external_data(client: Client) -> None:
    data = ExternalData(
        file_name="names", data=b"1,one\n2,two\n", fmt="CSV", structure=["id UInt8", "name String"]
    )
    found = client.query("SELECT name FROM names WHERE id = 2", external_data=data)
    assert found.result_rows == [("two",)]


def test_a_result_that_breaks_in_the_middle(client: Client, recwarn: pytest.WarningsRecorder) -> None:
    sql = "SELECT number, throwIf(number = 2900000, 'boom') FROM numbers(3000000) SETTINGS max_threads = 1"
    with (
        pytest.raises((StreamFailureError, OperationalError), match="boom"),
        client.query_row_block_stream(sql) as blocks,
    ):
        for _ in blocks:
            pass
    assert client.command("SELECT 1") == 1


def test_a_session_keeps_what_was_set(server: ServerProcess) -> None:
    with clickhouse_connect.get_client(host="127.0.0.1", port=server.port, session_id="mine") as client:
        client.command("CREATE TEMPORARY TABLE kept (a UInt8)")
        client.command("INSERT INTO kept VALUES (7)")
        client.command("SET max_block_size = 1234")
        client.command("USE system")
        assert client.query("SELECT a FROM kept").result_rows == [(7,)]
        seen = "SELECT getSetting('max_block_size'), currentDatabase(), getSetting('max_threads')"
        # The client names its own database on each query; a plain request does not.
        assert server.rows(seen, session_id="mine") == [["1234", "system", "2"]]
        assert server.rows("SELECT getSetting('max_threads')", session_id="mine", max_threads="1") == [["1"]]
        assert server.rows(seen, session_id="mine") == [["1234", "system", "2"]]
    assert server.rows(seen) == [["65409", "default", "2"]]
    assert server.query("SELECT a FROM kept").status_code == 404


def test_a_session_runs_one_query_at_a_time(server: ServerProcess) -> None:
    with server.http.stream(
        "POST", "/", params={"session_id": "busy"}, content=b"SELECT * FROM numbers(50000000)"
    ):
        answer = server.query("SELECT 1", session_id="busy")
        assert answer.headers["X-ClickHouse-Exception-Code"] == "373"
    assert (
        server.query("SELECT 1", session_id="new", session_check="1").headers["X-ClickHouse-Exception-Code"]
        == "372"
    )
    assert (
        server.query("SELECT 1", session_id="x", session_timeout="-1").headers["X-ClickHouse-Exception-Code"]
        == "374"
    )


async def test_async_client(aclient: AsyncClient) -> None:
    await aclient.command(create("kinds_async"))
    rows = [row(n) for n in range(2_000)]
    await aclient.insert(
        "kinds_async", rows, column_names=list(COLUMNS), settings={"insert_deduplication_token": "t"}
    )
    result = await aclient.query("SELECT * FROM kinds_async ORDER BY id")
    assert [tuple(found) for found in result.result_rows] == [as_read(n) for n in range(2_000)]
    async with await aclient.query_row_block_stream("SELECT number FROM numbers(300000)") as blocks:
        count = 0
        async for block in blocks:
            count += len(block)
    assert count == 300_000
    assert await aclient.raw_query("SELECT 1", fmt="CSV") == b"1\n"
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        await aclient.query("SELECT * FROM nope")


async def test_async_clients_work_side_by_side(aclient: AsyncClient) -> None:
    await aclient.command("CREATE OR REPLACE TABLE side (a UInt64) ENGINE = MergeTree ORDER BY a")

    async def one(n: int) -> int:
        await aclient.insert("side", [(n * 100 + k,) for k in range(100)], column_names=["a"])
        result = await aclient.query(
            "SELECT countIf(intDiv(a, 100) = {n:UInt64}) FROM side", parameters={"n": n}
        )
        return int(result.result_rows[0][0])

    assert await asyncio.gather(*(one(n) for n in range(40))) == [100] * 40
    assert (await aclient.query("SELECT count(), uniqExact(a) FROM side")).result_rows == [(4_000, 4_000)]
