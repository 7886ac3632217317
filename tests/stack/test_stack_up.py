"""`runmeter up`, `status` and `down`, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from containers import environment
from waiting import soon

from stack import state

SHOWN = {
    "gateway_url",
    "console_api_url",
    "console_url",
    "clickhouse_url",
    "kafka_bootstrap",
    "redis_url",
    "demo",
}
DEMO = {"tenant_id", "org_id", "instance_id", "api_key", "widget_key", "admin_token"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids(data_dir: Path) -> list[int]:
    found = state.read(data_dir)
    assert found is not None
    return [found.supervisor_pid, *(p.pid for p in found.processes if p.pid)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def runmeter(data_dir: Path) -> Iterator[Run]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stack.cli", *arguments],
            env=environment(data_dir),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    yield run
    run("down")


@pytest.fixture(scope="module")
def first(runmeter: Run) -> dict[str, Any]:
    started = runmeter("up", "--detach", "--json")
    assert started.returncode == 0, started.stderr
    shown: dict[str, Any] = json.loads(started.stdout)
    return shown


def test_up_prints_one_json_object_with_every_address(first: dict[str, Any]) -> None:
    assert set(first) >= SHOWN
    assert set(first["demo"]) >= DEMO
    assert all(first["demo"][name] for name in DEMO)


def test_status_shows_the_same_and_the_processes(first: dict[str, Any], runmeter: Run) -> None:
    shown = runmeter("status", "--json")

    assert shown.returncode == 0
    body = json.loads(shown.stdout)
    assert {name: body[name] for name in SHOWN} == {name: first[name] for name in SHOWN}
    assert all(set(process) >= {"name", "pid", "state"} for process in body["processes"])
    assert {process["state"] for process in body["processes"]} == {"running"}


def test_a_second_up_is_refused_in_one_line(first: dict[str, Any], runmeter: Run, data_dir: Path) -> None:
    refused = runmeter("up", "--detach")

    assert refused.returncode != 0
    assert len(refused.stderr.strip().splitlines()) == 1
    assert str(pids(data_dir)[0]) in refused.stderr
    assert "runmeter status" in refused.stderr


def test_a_killed_service_comes_back(first: dict[str, Any], data_dir: Path) -> None:
    def gateway() -> state.Process:
        found = state.read(data_dir)
        assert found is not None
        return next(process for process in found.processes if process.name == "gateway")

    killed = gateway().pid
    os.kill(killed, signal.SIGKILL)

    soon(lambda: gateway().state == "running" and gateway().pid != killed)


def test_down_leaves_nothing_and_up_finds_the_same_addresses_and_credentials(
    first: dict[str, Any], runmeter: Run, data_dir: Path
) -> None:
    before = pids(data_dir)

    assert runmeter("down").returncode == 0
    soon(lambda: not any(runs(pid) for pid in before))
    assert runmeter("status", "--json").returncode != 0
    again = runmeter("up", "--detach", "--json")

    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == first


def test_nothing_outlives_a_supervisor_that_was_killed(
    first: dict[str, Any], runmeter: Run, data_dir: Path
) -> None:
    before = pids(data_dir)

    os.kill(before[0], signal.SIGKILL)

    soon(lambda: not any(runs(pid) for pid in before))
    assert runmeter("status").returncode != 0
