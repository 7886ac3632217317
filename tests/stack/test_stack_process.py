"""Real child processes under supervision."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from waiting import until

from stack import process as process_module
from stack.process import Child, ChildSpec

SLEEPER = "import time; time.sleep(600)"
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
time.sleep(600)
"""

Start = Callable[..., Child]


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def said(pid: int, code: str) -> bool:
    try:
        return code in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts children that end with the test."""
    children: list[Child] = []

    def begin(code: str, name: str = "part", grace_s: float = 5.0) -> Child:
        spec = ChildSpec(name, (sys.executable, "-c", code), grace_s=grace_s)
        children.append(Child(spec, tmp_path, lambda: None))
        children[-1].start()
        return children[-1]

    yield begin
    for child in children:
        await child.stop()


async def test_a_killed_child_runs_again(start: Start) -> None:
    child = start(SLEEPER)
    await until(lambda: child.info.pid > 0)
    killed = child.info.pid

    os.kill(killed, signal.SIGKILL)
    await until(lambda: child.info.pid not in (0, killed))

    assert child.info.restarts == 1
    assert child.info.state == "running"


async def test_a_child_that_keeps_dying_is_tried_less_and_less_often(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process_module, "_BACKOFF_S", (0.05, 0.3, 0.9))
    code = f"import time; open({str(tmp_path / 'starts')!r}, 'a').write(f'{{time.time()}}\\n')"
    start(code)
    log = tmp_path / "starts"

    await until(lambda: log.exists() and len(log.read_text().splitlines()) >= 4)

    at = [float(line) for line in log.read_text().splitlines()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert gaps[0] < gaps[2]
    assert gaps[2] >= 0.9


async def test_a_child_that_keeps_dying_is_reported_with_its_last_words(start: Start) -> None:
    child = start("import sys; sys.exit('the disk is full')")

    await until(lambda: child.info.restarts >= 2)

    assert "the disk is full" in child.last_lines()


async def test_a_child_that_cannot_be_executed_does_not_end_supervision(tmp_path: Path) -> None:
    child = Child(ChildSpec("part", (str(tmp_path / "missing"),)), tmp_path, lambda: None)
    child.start()

    await until(lambda: child.info.restarts >= 2)

    await child.stop()
    assert "missing" in child.last_lines()


async def test_a_child_that_ignores_sigterm_is_killed_with_what_it_started(start: Start) -> None:
    child = start(STUBBORN, grace_s=0.3)
    await until(lambda: child.last_lines().strip().isdigit())
    started, grandchild = child.info.pid, int(child.last_lines())

    began = time.monotonic()
    await child.stop()

    assert time.monotonic() - began < 60
    await until(lambda: not runs(started) and not runs(grandchild))
    assert child.info.state == "stopped"
    assert child.info.pid == 0


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.005, 0.02, 0.1])
async def test_stopping_at_any_moment_of_the_start_leaves_nothing(start: Start, delay_s: float) -> None:
    # What other tests run beside it comes and goes: looked for are those that say the same.
    code = f"{SLEEPER}  # {delay_s}"
    child = start(code, name=f"part{delay_s}")
    await asyncio.sleep(delay_s)

    await child.stop()
    await asyncio.sleep(0.2)

    assert [pid for pid in psutil.pids() if runs(pid) and said(pid, code)] == []


async def test_a_log_that_grew_too_large_starts_over_and_keeps_its_last_part(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "_LOG_LIMIT_BYTES", 10_000)
    child = start("import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.0005)")
    await until(lambda: child.log_path.exists() and child.log_path.stat().st_size > 10_000)

    child.bound_log()

    assert child.log_path.stat().st_size < 10_000
    assert child.log_path.with_suffix(".log.1").stat().st_size >= 10_000
    await until(lambda: child.log_path.stat().st_size > 200)  # it goes on in the same file


def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = f"""
        import asyncio, sys
        from pathlib import Path
        from stack.process import Child, ChildSpec
        async def main():
            spec = ChildSpec("part", (sys.executable, "-c", {SLEEPER!r}))
            child = Child(spec, Path({str(tmp_path)!r}), lambda: None)
            child.start()
            while not child.info.pid: await asyncio.sleep(0.01)
            print(child.info.pid, flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE
    ) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        assert runs(child)

        supervisor.kill()

    asyncio.run(until(lambda: not runs(child)))
