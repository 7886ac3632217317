"""A whole stack of its own whose traces are received, and which tests may look at from every side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from otlp_receiver import Receiver

_CLI = (sys.executable, "-m", "stack.cli")


@dataclass(frozen=True)
class Observed:
    """A stack, where it keeps its files, and who receives its traces."""

    up: dict[str, Any]
    ports: dict[str, int]
    data_dir: Path
    receiver: Receiver
    env: dict[str, str]

    def runmeter(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command on it."""
        return command({**self.env, **more}, *arguments)

    @contextmanager
    def reconciling(self, port: int) -> Iterator[None]:
        """Reconcile it every second until the block ends, with metrics on a port."""
        with process(*_CLI, "reconcile", "--every", "1", "--metrics-port", str(port), env=self.env):
            yield

    def runmeter_status(self) -> list[dict[str, Any]]:
        """Return the processes as `runmeter status` shows them."""
        processes: list[dict[str, Any]] = json.loads(self.runmeter("status", "--json").stdout)["processes"]
        return processes


def command(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_CLI, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextmanager
def process(*command: str, env: dict[str, str]) -> Iterator[None]:
    """Run a program until the block ends."""
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            running.terminate()


def answers(url: str) -> bool:
    """Return whether somebody answers there that all is well."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False
