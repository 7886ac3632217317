from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stack import state
from stack.errors import StackError
from stack.state import Process, State, Urls

URLS = Urls(
    gateway_url="http://127.0.0.1:1",
    console_api_url="http://127.0.0.1:2",
    console_url="http://127.0.0.1:3",
    clickhouse_url="http://127.0.0.1:4",
    kafka_bootstrap="127.0.0.1:5",
    redis_url="redis://127.0.0.1:6/0",
)
HOLDER = """
import sys, time
from pathlib import Path
from stack.state import Lock
lock = Lock(Path(sys.argv[1])); lock.acquire(); print("held", flush=True); time.sleep(600)
"""


def a_state() -> State:
    parts = [Process(name="kafka", pid=7, state="running", restarts=2)]
    return State(supervisor_pid=1, phase="ready", urls=URLS, ports={"gateway": 1}, processes=parts)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    state.write(tmp_path, a_state())

    assert state.read(tmp_path) == a_state()


def test_others_may_not_read_the_credentials(tmp_path: Path) -> None:
    state.write(tmp_path, a_state())

    assert state.path(tmp_path).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [None, b"", b'{"supervisor_pid": 1, "ph'])
def test_a_state_that_is_missing_or_torn_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        state.path(tmp_path).write_bytes(content)

    assert state.read(tmp_path) is None


def test_a_second_supervisor_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        first.stdout.readline()
        try:
            with pytest.raises(StackError, match=rf"pid {first.pid}\b.*runmeter status"):
                state.Lock(tmp_path).acquire()
            assert state.Lock(tmp_path).is_held()
        finally:
            first.kill()


def test_the_lock_of_a_killed_supervisor_is_free(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        first.stdout.readline()
        first.kill()

    lock = state.Lock(tmp_path)
    assert not lock.is_held()
    lock.acquire()
    assert state.Lock(tmp_path).is_held()
    lock.release()
    assert not lock.is_held()
