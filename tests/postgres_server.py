"""A PostgreSQL of the tests' own, in a temporary folder on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from containers import free_ports

START_SECONDS = 30.0


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


@contextmanager
def running() -> Iterator[str]:
    """Run a server until the block ends; yield the URL of its database `postgres`. Raises `NotThere`."""
    folder, user = binaries(), _somebody()
    home = Path(tempfile.mkdtemp(prefix="runmeter-postgres-"))
    try:
        if user is not None:
            shutil.chown(home, user)
        _initialise(folder, home, user)
        with _server(folder, home, user) as url:
            yield url
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _initialise(folder: Path, home: Path, user: str | None) -> None:
    command = [str(folder / "initdb"), "-D", str(home / "data"), "-U", "runmeter", "-A", "trust"]
    made = subprocess.run(
        [*command, "-E", "UTF8", "--locale=C", "--no-sync"],
        user=user,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if made.returncode:
        raise NotThere(f"initdb failed: {made.stderr.strip()[-500:]}")


@contextmanager
def _server(folder: Path, home: Path, user: str | None) -> Iterator[str]:
    (port,) = free_ports("postgres").values()
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                str(folder / "postgres"),
                *("-D", str(home / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(home)),
                *("-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60"),
            ],
            user=user,
            cwd=home,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while "ready to accept connections" not in (home / "log").read_text():
            if server.poll() is not None or time.monotonic() > deadline:
                raise NotThere(f"postgres did not start: {(home / 'log').read_text()[-500:]}")
            time.sleep(0.05)
        yield f"postgresql://runmeter@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(START_SECONDS)
