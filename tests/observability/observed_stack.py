"""A whole stack of its own whose traces are received, and which tests may look at from every side."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otlp_receiver import Receiver


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

    def runmeter_status(self) -> list[dict[str, Any]]:
        """Return the processes as `runmeter status` shows them."""
        processes: list[dict[str, Any]] = json.loads(self.runmeter("status", "--json").stdout)["processes"]
        return processes


def command(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack.cli", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
