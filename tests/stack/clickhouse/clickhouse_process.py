"""A real server in a process of its own, for tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
from waiting import PATIENCE_S, soon


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """Starts, stops and kills one server on one directory; `http` is a client of it."""

    def __init__(self, path: Path, *options: str, password: str = "") -> None:
        self.path, self.port, self.password = path, free_port(), password
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._log = path.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        headers = {"X-ClickHouse-Key": password} if password else {}
        self.http = httpx.Client(
            base_url=self.url, headers={"Accept-Encoding": "identity", **headers}, timeout=PATIENCE_S
        )

    def arguments(self) -> list[str]:
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--path", str(self.path)]
        return [sys.executable, "-m", "stack.clickhouse", *place, *self._options]

    def start(self) -> ServerProcess:
        environment = {**os.environ, "RUNMETER_CLICKHOUSE_PASSWORD": self.password}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self.arguments(), stdout=log, stderr=log, env=environment)
        soon(self.ready)
        return self

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return self.http.get("/ping").text == "Ok.\n"
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.http.close()

    def log(self) -> str:
        return self._log.read_text()

    def query(self, sql: str, **url: str) -> httpx.Response:
        return self.http.post("/", params=url, content=sql.encode())

    def rows(self, sql: str, **url: str) -> list[list[str]]:
        """Run a query that must succeed; return its rows as text."""
        answer = self.query(sql, **url)
        assert answer.status_code == 200, answer.text
        return [line.split("\t") for line in answer.text.splitlines()]
