"""Start, stop, kill -9, restart."""

from __future__ import annotations

import random
import subprocess
import threading
import time

import httpx
import pytest
from clickhouse_process import ServerProcess
from test_clickhouse_inserts import ONCE, metered, totals
from waiting import PATIENCE_S, soon


def test_acknowledged_rows_survive_kill_9(own: ServerProcess) -> None:
    own.query("CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a")
    for n in range(20):
        assert own.query(f"INSERT INTO kept SELECT number + {n * 100} FROM numbers(100)").status_code == 200
    own.kill()
    own.start()
    assert own.rows("SELECT count(), uniqExact(a) FROM kept") == [["2000", "2000"]]


def test_kills_during_inserts_with_blind_re_sends_stay_exact(own: ServerProcess) -> None:
    """The sink's protocol: a batch has a token, an unknown outcome is sent again until it is acknowledged."""
    seed = 20_260_301
    dice, size, batches, kills = random.Random(seed), 2_000, 48, 0
    metered(own)
    for batch in range(batches):
        first = batch * size
        data = "".join(f"{n}\torg{n % 7}\t1\n" for n in range(first, first + size)).encode()
        url = {**ONCE, "query": "INSERT INTO usage FORMAT TSV", "insert_deduplication_token": f"0:{first}"}
        to_kill = batch % 6 == 3
        while True:
            killer = threading.Timer(dice.uniform(0.0005, 0.012), own.kill)
            if to_kill:
                killer.start()
            try:
                landed = own.http.post("/", params=url, content=data).status_code == 200
            except httpx.TransportError:
                landed = False
            if to_kill:
                killer.join()
                kills, to_kill = kills + 1, False
                own.start()
                # Acknowledged or not, the sender sends the same once more: a view may lack its rows.
                landed = False
            if landed:
                break
    assert kills == 8
    rows = str(size * batches)
    assert totals(own) == ([rows, rows, rows], [rows]), f"seed {seed}"


def test_a_kill_between_the_token_and_the_part_loses_nothing(own: ServerProcess) -> None:
    """The engine remembers a token before the part is there: a kill in between must not eat the re-send."""
    metered(own)
    url = {**ONCE, "query": "INSERT INTO usage FORMAT TSV", "insert_deduplication_token": "t"}
    own.http.post("/", params={**url, "insert_deduplication_token": "before"}, content=b"1\ta\t1\n")
    own.http.post("/", params=url, content=b"2\ta\t1\n")
    own.kill()
    for part in (own.path / "store").glob("*/*/all_2_2_*"):
        part.rename(part.with_name(f"tmp_insert_{part.name}"))
    for log in (own.path / "store").glob("*/*/deduplication_logs/*.txt"):
        with log.open("a") as torn:
            torn.write("1\tall_3_3_0\tall_12")
    own.start()
    assert totals(own) == (["1", "1", "1"], ["1"])
    for _ in range(2):
        own.http.post("/", params=url, content=b"2\ta\t1\n")
        own.http.post("/", params={**url, "insert_deduplication_token": "before"}, content=b"1\ta\t1\n")
    assert totals(own) == (["2", "2", "2"], ["2"])
    own.query("OPTIMIZE TABLE usage FINAL")
    own.query("OPTIMIZE TABLE per_org FINAL")
    own.kill()
    own.start()
    own.http.post("/", params=url, content=b"2\ta\t1\n")
    assert totals(own) == (["2", "2", "2"], ["2"]), "a merged part still counts as there"


def test_sigterm_lets_running_queries_end(own: ServerProcess) -> None:
    answers: list[httpx.Response] = []
    slow = threading.Thread(
        target=lambda: answers.append(
            own.query("SELECT sleepEachRow(0.5) FROM numbers(10) SETTINGS max_block_size = 1")
        )
    )
    slow.start()
    soon(lambda: own.rows("SELECT count() FROM system.processes") == [["2"]])
    assert own.stop() == 0
    slow.join()
    assert answers[0].text == "0\n" * 10
    assert '"message":"stopped"' in own.log()


def test_sigterm_does_not_wait_for_ever(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("clickhouse") / "stopping"
    server = ServerProcess(path, "--shutdown-grace-seconds", "1").start()
    slow = threading.Thread(
        target=_ignore_errors, args=(server, "SELECT sum(sipHash64(number)) FROM numbers(100000000000)")
    )
    slow.start()
    soon(lambda: server.rows("SELECT count() FROM system.processes") == [["2"]])
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 60
    slow.join()
    server.close()


def _ignore_errors(server: ServerProcess, sql: str) -> None:
    try:
        server.query(sql)
    except httpx.TransportError:
        return


def test_a_second_server_on_the_same_directory_is_refused_in_one_line(server: ServerProcess) -> None:
    other = ServerProcess(server.path)
    done = subprocess.run(other.arguments(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    other.close()
    assert server.process is not None
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"clickhouse: {server.path} is in use by process {server.process.pid}: stop it, or use another --path"
    ]
    assert server.query("SELECT 1").text == "1\n"


def test_a_taken_port_is_refused_in_one_line(
    server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = ServerProcess(tmp_path_factory.mktemp("clickhouse") / "port")
    other.port = server.port
    done = subprocess.run(other.arguments(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    other.close()
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert f"cannot listen on 127.0.0.1:{server.port}" in done.stderr


def test_an_idle_server_is_idle(own: ServerProcess) -> None:
    own.query("CREATE TABLE a (a UInt64) ENGINE = MergeTree ORDER BY a")
    own.query("INSERT INTO a SELECT number FROM numbers(1000)")
    logs = "database = 'system' AND name LIKE '%\\_log' AND engine LIKE '%MergeTree'"
    assert own.rows(f"SELECT name FROM system.tables WHERE {logs}") == []
    assert own.process is not None
    before = _cpu_ticks(own.process.pid)
    time.sleep(3)
    # 3 s are 300 ticks of 10 ms.
    assert _cpu_ticks(own.process.pid) - before < 15


def _cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])
