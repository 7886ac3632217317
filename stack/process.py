"""One child process: started, watched, restarted with back-off, stopped within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import logging
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stack.state import Process

log = logging.getLogger(__name__)

_BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
#: A child that lived this long starts over with the shortest back-off.
_HEALTHY_S = 10.0
_LOG_LIMIT_BYTES = 20 * 1024 * 1024
_HOPELESS_RESTARTS = 5
#: After so many short lives in a row the end of the log is reported.
_KEEPS_DYING = 3
_NOT_EXECUTED = 127
_TAIL_BYTES = 16_384
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ChildSpec:
    """How to run one part. `ready` returns whether it answers; `grace_s` is how long it may take to stop."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[bool]] | None = None
    grace_s: float = 10.0
    #: Added to its scheduling priority: what enforces limits runs before what only shows them.
    niceness: int = 0


class Child:
    """A supervised process."""

    def __init__(self, spec: ChildSpec, logs: Path, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.info = Process(name=spec.name)
        self.log_path = logs / f"{spec.name}.log"
        self._changed = changed
        self._keeping: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Keep the process running until `stop`."""
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        short_lives = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._live()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _HEALTHY_S:
                short_lives = 0
            delay = _BACKOFF_S[min(short_lives, len(_BACKOFF_S) - 1)]
            short_lives += 1
            self._report(code, delay, short_lives)
            self._note("restarting", 0, self.info.restarts + 1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    async def _live(self) -> int:
        """Run the process once, to its own end or to the one it is told; return its exit code."""
        self.bound_log()
        try:
            process = await self._spawn()
        except OSError as error:
            with self.log_path.open("a") as file:
                file.write(f"{error}\n")
            return _NOT_EXECUTED
        self._note("running", process.pid, self.info.restarts)
        ends = [asyncio.ensure_future(process.wait()), asyncio.ensure_future(self._stopping.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        return await self._end(process)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.log_path.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.spec.env},
                start_new_session=True,
                preexec_fn=functools.partial(_in_child, self.spec.niceness),
            )

    async def _end(self, process: asyncio.subprocess.Process) -> int:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self.spec.grace_s):
                    await process.wait()
            except TimeoutError:
                log.warning("child did not stop in time, killing it", extra={"child": self.spec.name})
        # What the child started itself is in its group, and would outlive it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return await process.wait()

    def _report(self, code: int, delay_s: float, short_lives: int) -> None:
        extra: dict[str, object] = {"child": self.spec.name, "exit_code": code, "delay_s": delay_s}
        if short_lives % _KEEPS_DYING == 0:
            log.error("child keeps ending", extra={**extra, "last_lines": self.last_lines()})
        else:
            log.warning("child ended, restarting", extra=extra)

    async def wait_ready(self, timeout_s: float) -> bool:
        """Return whether the process answered within the time-out."""
        if self.spec.ready is None:
            return True
        deadline = time.monotonic() + timeout_s
        # What keeps dying before it ever answered will not answer.
        while time.monotonic() < deadline and self.info.restarts < _HOPELESS_RESTARTS:
            if self.info.state == "running" and await self.spec.ready():
                return True
            await asyncio.sleep(0.05)
        return False

    async def stop(self) -> None:
        """End the process: SIGTERM, then, after its grace, SIGKILL to its whole group."""
        # The keeper alone starts and ends the process, so there is no moment at which one is started unseen.
        self._stopping.set()
        if self._keeping is not None:
            await self._keeping
        self._note("stopped", 0, self.info.restarts)

    def last_lines(self, count: int = 5) -> str:
        """Return the end of the child's log."""
        with contextlib.suppress(OSError), self.log_path.open("rb") as file:
            file.seek(max(0, self.log_path.stat().st_size - _TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
        return ""

    def bound_log(self) -> None:
        """Start the log over when it has grown too large; the last one is kept beside it."""
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT_BYTES:
            # The child appends to the open file, so the file has to stay: copy it, then empty it.
            shutil.copyfile(self.log_path, self.log_path.with_suffix(".log.1"))
            os.truncate(self.log_path, 0)

    def _note(self, state: str, pid: int, restarts: int) -> None:
        self.info.state = state  # type: ignore[assignment]
        self.info.pid = pid
        self.info.restarts = restarts
        self._changed()


# Looked up here: between fork and exec there must be as little work as possible.
_prctl = getattr(ctypes.CDLL(None), "prctl", None)


def _in_child(niceness: int) -> None:
    if niceness:
        os.nice(niceness)
    # Even a SIGKILL of the supervisor leaves nothing running (Linux; elsewhere the call is not there).
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
