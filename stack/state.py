"""What a running stack tells the outside: `<data>/state.json`, and the lock that makes it the only one."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Literal

import msgspec
from msgspec import Struct

from stack.access import DemoAccess
from stack.errors import StackError

Phase = Literal["starting", "ready", "stopping", "failed"]
ProcessState = Literal["running", "restarting", "stopped", "external"]

_ACQUIRE_S = 0.3
_held: list[IO[str]] = []


class Process(Struct, kw_only=True):
    """One part of the stack. `pid` is 0 for what is not running or not ours."""

    name: str
    pid: int = 0
    state: ProcessState = "stopped"
    restarts: int = 0


class Urls(Struct, frozen=True, kw_only=True):
    """Where the parts answer."""

    gateway_url: str
    console_api_url: str
    console_url: str
    clickhouse_url: str
    kafka_bootstrap: str
    redis_url: str
    #: Empty in a state that an earlier version wrote.
    issuer_url: str = ""


class State(Struct, kw_only=True):
    """A stack as its supervisor last wrote it."""

    supervisor_pid: int
    phase: Phase
    urls: Urls
    ports: dict[str, int]
    demo: DemoAccess | None = None
    processes: list[Process] = []
    error: str = ""


def path(data_dir: Path) -> Path:
    """Return where the state is written."""
    return data_dir / "state.json"


def read(data_dir: Path) -> State | None:
    """Return the last written state, of a stack that runs or of one that ran."""
    try:
        return msgspec.json.decode(path(data_dir).read_bytes(), type=State)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write(data_dir: Path, state: State) -> None:
    """Replace the state atomically. It holds development credentials: only the owner may read it."""
    temporary = path(data_dir).with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))
    temporary.replace(path(data_dir))


class Lock:
    """Held by the supervisor for as long as it lives; the kernel lets go of it with the process."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises `StackError` when another supervisor has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        # `is_held` takes it for an instant, so a first refusal means nothing.
        deadline = time.monotonic() + _ACQUIRE_S
        while not _try(file):
            if time.monotonic() > deadline:
                file.seek(0)
                pid = file.read().strip() or "unknown"
                file.close()
                raise StackError(
                    f"a stack already runs on this data folder (pid {pid}); see `runmeter status`, "
                    "stop it with `runmeter down`, or set RUNMETER_DATA_DIR for another"
                )
            time.sleep(0.02)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        # Kept until the process ends, not until the last use: `down` waits for the lock and promises the end.
        _held.append(file)

    def release(self) -> None:
        """Let go of it."""
        if self._file is not None:
            _held.remove(self._file)
            self._file.close()
            self._file = None

    def is_held(self) -> bool:
        """Return whether some supervisor has it."""
        try:
            with self._path.open("r+") as file:
                return not _try(file)
        except FileNotFoundError:
            return False


def _try(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
