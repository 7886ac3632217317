"""`runmeter reconcile --every` as a container runs it: stores may be away, and SIGTERM ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
from containers import free_ports
from waiting import soon


def test_it_lives_without_its_stores_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    ports = free_ports("metrics", "kafka", "redis", "clickhouse")
    env = {
        **os.environ,
        "RUNMETER_DATA_DIR": str(tmp_path),
        "RUNMETER_KAFKA_BOOTSTRAP": f"127.0.0.1:{ports['kafka']}",
        "RUNMETER_REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "RUNMETER_CLICKHOUSE_URL": f"http://127.0.0.1:{ports['clickhouse']}",
    }
    options = ["reconcile", "--every", "900", "--metrics-port", str(ports["metrics"])]

    def lives() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{ports['metrics']}/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    command = [sys.executable, "-m", "stack.cli", *options]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            soon(lives, "it answers")
            assert httpx.get(f"http://127.0.0.1:{ports['metrics']}/readyz").status_code == 503
        finally:
            process.terminate()
    assert process.returncode == 0
