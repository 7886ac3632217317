"""Every bound holds: time, memory, bodies, bombs, queue, password, clients that leave."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import zlib

import clickhouse_connect
import httpx
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_process import ServerProcess
from waiting import PATIENCE_S, soon

SLOW = "SELECT sum(sipHash64(number)) FROM numbers(100000000000)"


def running(server: ServerProcess, text: str) -> int:
    sql = "SELECT count() FROM system.processes WHERE query LIKE {x:String}"
    return int(server.rows(sql, param_x=f"%{text}%")[0][0])


@pytest.mark.parametrize(
    "sql",
    [
        SLOW,
        SLOW + " SETTINGS max_execution_time = 0",
        "SELECT sum(sleepEachRow(0.2)) FROM numbers(90) SETTINGS max_block_size = 1",
    ],
)
def test_no_query_outlives_the_time_cap(strict: ServerProcess, sql: str) -> None:
    started = time.monotonic()
    answer = strict.query(sql, max_execution_time="0")
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (408, "159")
    assert time.monotonic() - started < 60


def test_a_client_may_ask_for_less_time(server: ServerProcess) -> None:
    answer = server.query(SLOW, max_execution_time="0.3")
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (408, "159")


@pytest.mark.parametrize("asked", ["0", "99000000000"])
def test_memory_is_capped(strict: ServerProcess, asked: str) -> None:
    answer = strict.query("SELECT length(groupArray(number)) FROM numbers(100000000)", max_memory_usage=asked)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "241")
    sql = "SELECT length(groupArray(number)) FROM numbers(100000000) SETTINGS max_memory_usage = 0"
    assert strict.query(sql).headers["X-ClickHouse-Exception-Code"] == "241"


def test_a_result_that_must_be_whole_is_capped(strict: ServerProcess) -> None:
    sql = "SELECT number, repeat('x', 100) FROM numbers(1000000)"
    assert strict.query(sql + " FORMAT JSON").headers["X-ClickHouse-Exception-Code"] == "396"
    assert strict.query(sql, wait_end_of_query="1").headers["X-ClickHouse-Exception-Code"] == "396"
    assert strict.query(sql).text.count("\n") == 1_000_000


def test_a_large_body_is_refused(strict: ServerProcess) -> None:
    assert strict.query("SELECT '" + "x" * 1_100_000 + "'").status_code == 413
    assert (
        strict.query("SELECT length('" + "x" * 300_000 + "')").headers["X-ClickHouse-Exception-Code"] == "62"
    )


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4", "zstd"])
def test_a_bomb_is_refused(strict: ServerProcess, encoding: str) -> None:
    zeros = bytes(200_000_000)
    packed = {
        "gzip": lambda: gzip.compress(zeros),
        "deflate": lambda: zlib.compress(zeros),
        "lz4": lambda: lz4.frame.compress(zeros),
        "zstd": lambda: zstandard.ZstdCompressor().compress(zeros),
    }[encoding]()
    answer = strict.http.post("/", content=packed, headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (413, "229"), answer.text


def test_a_statement_of_unclosed_quotes_is_read_in_linear_time(server: ServerProcess) -> None:
    started = time.monotonic()
    for piece in ("'", "/*", "`", "$a$", "$", "(", "--"):
        server.query("SELECT " + piece * 120_001)
    assert time.monotonic() - started < 60


def test_the_password_is_asked_for(strict: ServerProcess) -> None:
    with httpx.Client(base_url=strict.url) as stranger:
        assert stranger.get("/ping").text == "Ok.\n"
        for url, headers in (
            ({}, {}),
            ({"password": "x"}, {}),
            ({}, {"X-ClickHouse-Key": ""}),
            ({}, {"Authorization": "Basic !"}),
        ):
            answer = stranger.post("/", params=url, headers=headers, content=b"SELECT 1")
            assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
        assert stranger.post("/", params={"password": "open sesame"}, content=b"SELECT 1").text == "1\n"
        assert stranger.post("/", auth=("default", "open sesame"), content=b"SELECT 1").text == "1\n"
    with clickhouse_connect.get_client(host="127.0.0.1", port=strict.port, password="open sesame") as client:
        assert client.command("SELECT 1") == 1
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        clickhouse_connect.get_client(host="127.0.0.1", port=strict.port, password="guess")


def test_a_full_queue_refuses_and_recovers(strict: ServerProcess) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(strict.query("SELECT sleepEachRow(0.1) FROM numbers(10)"))

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(served) >= 3
    assert len(served) + len(refused) == 8
    assert {answer.headers["X-ClickHouse-Exception-Code"] for answer in refused} == {"202"}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert strict.query("SELECT 1").text == "1\n"


def test_slow_queries_hold_up_nobody(server: ServerProcess) -> None:
    slow = [
        threading.Thread(target=server.query, args=(SLOW,), kwargs={"max_execution_time": "3"})
        for _ in range(4)
    ]
    for thread in slow:
        thread.start()
    soon(lambda: running(server, "sipHash64(number)") >= 4)
    assert server.query("SELECT 1").text == "1\n"
    assert server.http.get("/ping").text == "Ok.\n"
    assert running(server, "sipHash64(number)") >= 4
    for thread in slow:
        thread.join()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'gone', sum(sipHash64(number)) FROM numbers(100000000000)",
        "SELECT 'gone', * FROM numbers(100000000000)",
    ],
)
def test_a_client_that_leaves_ends_its_query(server: ServerProcess, sql: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(sql), sql.encode()))
        soon(lambda: running(server, "SELECT 'gone'") == 1)
    soon(lambda: server.rows("SELECT count() FROM system.processes") == [["1"]])


def test_a_client_that_does_not_read_holds_up_only_itself(strict: ServerProcess) -> None:
    sql = b"SELECT * FROM numbers(100000000000)"
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: open sesame\r\nContent-Length: %d\r\n\r\n" % len(
        sql
    )
    with socket.create_connection(("127.0.0.1", strict.port)) as raw:
        raw.sendall(head + sql)
        assert raw.recv(100).startswith(b"HTTP/1.1 200")
        soon(lambda: strict.rows("SELECT count() FROM system.processes") == [["1"]])


def test_a_body_that_does_not_come_is_given_up(strict: ServerProcess) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: open sesame\r\nContent-Length: 100\r\n\r\nSELECT"
    with socket.create_connection(("127.0.0.1", strict.port), timeout=PATIENCE_S) as raw:
        raw.sendall(head)
        assert raw.recv(1000).startswith(b"HTTP/1.1 503")


def test_a_query_id_runs_once_at_a_time(server: ServerProcess) -> None:
    with server.http.stream(
        "POST", "/", params={"query_id": "one"}, content=b"SELECT * FROM numbers(50000000)"
    ):
        assert server.query("SELECT 1", query_id="one").headers["X-ClickHouse-Exception-Code"] == "216"
    soon(lambda: server.query("SELECT 1", query_id="one").status_code == 200)


def test_a_streamed_result_is_held_in_bounded_memory(server: ServerProcess) -> None:
    def resident() -> int:
        assert server.process is not None
        with open(f"/proc/{server.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    before, most, size = resident(), 0, 0
    with server.http.stream(
        "POST", "/", content=b"SELECT number, repeat('x', 90) FROM numbers(3000000)"
    ) as answer:
        for n, piece in enumerate(answer.iter_raw(1 << 20)):
            size += len(piece)
            most = max(most, resident()) if n % 50 == 0 else most
    assert size > 250_000_000
    assert most - before < 150_000_000


def test_errors_are_logged_without_data_or_secrets(strict: ServerProcess) -> None:
    strict.query("SELECT throwIf(1, 'customer data') -- my query", password="open sesame")
    soon(lambda: '"code":395' in strict.log())
    log = strict.log()
    for secret in ("customer data", "my query", "open sesame"):
        assert secret not in log
