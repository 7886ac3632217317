"""A whole stack for a benchmark, with a model provider that answers at once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def whole_stack(folder: Path, time_scale: float = 0) -> Iterator[dict[str, Any]]:
    """Run `runmeter up`; yield what it prints, with the processes' ids by name as `pids`.

    `time_scale` multiplies the provider's delays.
    """
    env = {
        **os.environ,
        "RUNMETER_DATA_DIR": str(folder),
        "RUNMETER_EMBEDDED_PROVIDER_TIME_SCALE": str(time_scale),
    }

    def runmeter(*arguments: str) -> str:
        command = [sys.executable, "-m", "stack.cli", *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    try:
        runmeter("up", "--detach", "--json")
        status = json.loads(runmeter("status", "--json"))
        yield {**status, "pids": {process["name"]: process["pid"] for process in status["processes"]}}
    finally:
        runmeter("down")


@contextlib.contextmanager
def paused(stack: dict[str, Any], *names: str) -> Iterator[None]:
    """Freeze some processes of the stack: what is measured shares the machine with the others only."""
    pids = [stack["pids"][name] for name in names]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
