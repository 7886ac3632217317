"""One child process: started, watched, restarted with back-off, stopped within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
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
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ChildSpec:
    """How to run one part. `ready` returns whether it answers; `grace_s` is how long it may take to stop."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[bool]] | None = None
    grace_s: float = 10.0


class Child:
    """A supervised process."""

    def __init__(self, spec: ChildSpec, logs: Path, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.info = Process(name=spec.name)
        self.log_path = logs / f"{spec.name}.log"
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Keep the process running until `stop`."""
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        failures = 0
        while not self._stopping:
            began = time.monotonic()
            await self._spawn()
            code = await self._process.wait() if self._process else -1
            failures = 0 if time.monotonic() - began > _HEALTHY_S else failures + 1
            delay = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
            self._report_end(code, delay)
            await asyncio.sleep(delay)

    def _report_end(self, code: int, delay: float) -> None:
        if not self._stopping:
            log.warning(
                "child ended, restarting",
                extra={"child": self.spec.name, "exit_code": code, "delay_s": delay},
            )
            self._note("restarting", 0, self.info.restarts + 1)

    async def _spawn(self) -> None:
        self._bound_log()
        with self.log_path.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.spec.env},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._note("running", self._process.pid, self.info.restarts)

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
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self.spec.grace_s):
                    await process.wait()
            except TimeoutError:
                log.warning("child did not stop in time, killing it", extra={"child": self.spec.name})
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        self._note("stopped", 0, self.info.restarts)

    def last_lines(self, count: int = 5) -> str:
        """Return the end of the child's log."""
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""

    def bound_log(self) -> None:
        """Start the log over when it has grown too large; the last one is kept beside it."""
        self._bound_log()

    def _bound_log(self) -> None:
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT_BYTES:
            previous = self.log_path.with_suffix(".log.1")
            previous.write_bytes(self.log_path.read_bytes()[-_LOG_LIMIT_BYTES:])
            os.truncate(self.log_path, 0)

    def _note(self, state: str, pid: int, restarts: int) -> None:
        self.info.state = state  # type: ignore[assignment]
        self.info.pid = pid
        self.info.restarts = restarts
        self._changed()


def _die_with_parent() -> None:
    # Even a SIGKILL of the supervisor leaves nothing running (Linux; elsewhere the call is not there).
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
