"""The provider in a process of its own, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
from waiting import PATIENCE_S, soon


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


class ProviderProcess:
    """One provider; `openai` is an OpenAI client of it that does not retry, `http` a plain one."""

    def __init__(self, log: Path, *, time_scale: float, api_key: str = "") -> None:
        self.port = free_port()
        self._log = log
        command = [sys.executable, "-m", "stack.provider", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--time-scale", str(time_scale)]
        environment = {**os.environ, "RUNMETER_PROVIDER_API_KEY": api_key}
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        url = f"http://127.0.0.1:{self.port}"
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S)
        self.openai = openai.OpenAI(base_url=f"{url}/v1", api_key=api_key or "none", max_retries=0)
        soon(self._ready)

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        return self._log.read_text()

    def served(self, request_id: str) -> list[dict[str, Any]]:
        """Return what the provider says it generated for a request."""
        rows: list[dict[str, Any]] = self.http.get("/admin/usage", params={"request_id": request_id}).json()
        return rows

    def close(self) -> None:
        self.openai.close()
        self.http.close()
        self.process.terminate()
        self.process.wait(PATIENCE_S)
