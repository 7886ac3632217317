"""A PostgreSQL of the tests' own, in a temporary folder on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import ports

START_SECONDS = 180.0


class NotThere(Exception):
    """There is no PostgreSQL to start; the message says why."""


def binaries() -> Path:
    """Return the folder of `initdb` and `postgres`. Raises `NotThere`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    for folder in [*found, *([Path(on_path).parent] if on_path else []), Path("/usr/local/bin")]:
        if all((folder / name).exists() for name in ("initdb", "postgres")):
            return folder
    raise NotThere("no initdb and postgres in /usr/lib/postgresql/*/bin, on PATH or in /usr/local/bin")


def _somebody() -> str | None:
    """Return whom to run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise NotThere("PostgreSQL refuses root, and there is no user postgres or nobody")


class Postgres:
    """One server on a free port, in a folder of its own. Raises `NotThere` when there is none to start."""

    def __init__(self) -> None:
        self._binaries, self._user = binaries(), _somebody()
        self._home = Path(tempfile.mkdtemp(prefix="runmeter-postgres-"))
        self._server: subprocess.Popen[bytes] | None = None
        (self._port,) = ports.choose({"postgres": 0}, {}).values()
        if self._user is not None:
            shutil.chown(self._home, self._user)
        self._initialise()

    @property
    def url(self) -> str:
        """The URL of its database `postgres`."""
        return f"postgresql://runmeter@127.0.0.1:{self._port}/postgres"

    def _initialise(self) -> None:
        command = [str(self._binaries / "initdb"), "-D", str(self._home / "data"), "-U", "runmeter"]
        made = subprocess.run(
            [*command, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            user=self._user,
            cwd=self._home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if made.returncode:
            raise NotThere(f"initdb failed: {made.stderr.strip()[-500:]}")

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        log_path = self._home / "log"
        with log_path.open("wb") as log:
            self._server = subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    *("-D", str(self._home / "data"), "-p", str(self._port)),
                    *("-h", "127.0.0.1", "-k", str(self._home)),
                    *("-c", "shared_buffers=32MB", "-c", "max_connections=60"),
                ],
                user=self._user,
                cwd=self._home,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while "ready to accept connections" not in log_path.read_text():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise NotThere(f"postgres did not start: {log_path.read_text()[-500:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of the server; its children notice and end."""
        assert self._server is not None
        self._server.kill()
        self._server.wait(START_SECONDS)

    def close(self) -> None:
        """Stop it and remove its files."""
        if self._server is not None and self._server.poll() is None:
            # Its "fast" way to stop: upon SIGTERM it would wait for clients to leave.
            self._server.send_signal(signal.SIGINT)
            self._server.wait(START_SECONDS)
        shutil.rmtree(self._home, ignore_errors=True)


@contextmanager
def running() -> Iterator[str]:
    """Run a server until the block ends; yield the URL of its database `postgres`. Raises `NotThere`."""
    server = Postgres()
    try:
        server.start()
        yield server.url
    finally:
        server.close()
