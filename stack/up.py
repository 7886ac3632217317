"""`runmeter up`, `status` and `down`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from kit import logs
from kit.settings import IssuerSettings, StackSettings, load
from stack import state
from stack.errors import StackError
from stack.issuer import password
from stack.issuer.users import USERS
from stack.servers import check_java, fetch_kafka
from stack.state import State

_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 60.0


def add_up_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `up`'s options."""
    parser.add_argument("--detach", action="store_true", help="return once everything is ready")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `status`' and `down`'s options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def data_dir() -> Path:
    """Return the data folder of the settings."""
    folder: Path = load(StackSettings).data_dir
    return folder


def up(args: argparse.Namespace) -> int:
    """Start the stack; in the foreground unless detached."""
    if args.detach:
        show(start_detached(data_dir()), as_json=args.json)
        return 0
    return asyncio.run(_foreground(data_dir(), as_json=args.json))


async def _foreground(folder: Path, *, as_json: bool) -> int:
    # All services' set-up, which takes seconds, and which `status` and `down` do without.
    from stack.supervisor import supervise  # noqa: PLC0415

    logs.configure("stack", "WARNING")
    ready = asyncio.Event()
    running = asyncio.create_task(supervise(folder, ready))
    announced = asyncio.create_task(ready.wait())
    await asyncio.wait({running, announced}, return_when=asyncio.FIRST_COMPLETED)
    if ready.is_set() and (found := state.read(folder)) is not None:
        show(found, as_json=as_json)
        if not as_json:
            print("Press Ctrl-C to stop.", flush=True)
    announced.cancel()
    return await running


def start_detached(folder: Path) -> State:
    """Start a supervisor of its own session and return the state once it is ready. Raises `StackError`."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = state.Lock(folder)
    lock.acquire()
    # Said here rather than in a log; the supervisor takes the lock over.
    check_java()
    fetch_kafka()
    lock.release()
    (folder / "logs").mkdir(exist_ok=True)
    with (folder / "logs" / "supervisor.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stack.daemon", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return _wait_ready(folder, process)


def _wait_ready(folder: Path, process: subprocess.Popen[bytes]) -> State:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        found = state.read(folder)
        if found is not None and found.supervisor_pid == process.pid:
            if found.phase == "ready":
                return found
            if found.phase == "failed" and process.poll() is not None:
                raise StackError(found.error)
        if process.poll() is not None:
            tail = (folder / "logs" / "supervisor.log").read_text(errors="replace")[-1_500:]
            raise StackError(f"the supervisor ended with {process.returncode}:\n{tail}")
        time.sleep(0.1)
    process.terminate()
    raise StackError(f"the stack was not ready within {_START_TIMEOUT_S:.0f} s; see {folder / 'logs'}")


def running(folder: Path) -> State | None:
    """Return the state of the stack that runs on this folder, if one does."""
    if not folder.exists() or not state.Lock(folder).is_held():
        return None
    return state.read(folder)


def status(args: argparse.Namespace) -> int:
    """Print what runs; 1 when nothing does."""
    found = running(data_dir())
    if found is None:
        raise StackError("no stack runs on this data folder; start one with `runmeter up`")
    show(found, as_json=args.json, processes=True)
    return 0 if found.phase == "ready" else 1


def down(args: argparse.Namespace) -> int:
    """Stop the stack and wait until nothing of it runs."""
    stopped = stop(data_dir())
    print("{}" if args.json else "stopped" if stopped else "nothing was running")
    return 0


def stop(folder: Path) -> bool:
    """Stop the folder's stack and wait for its end; return whether there was one. Raises `StackError`."""
    found = running(folder)
    if found is None:
        return False
    os.kill(found.supervisor_pid, signal.SIGTERM)
    lock, deadline = state.Lock(folder), time.monotonic() + _STOP_TIMEOUT_S
    while lock.is_held():
        if time.monotonic() > deadline:
            raise StackError(f"the stack did not stop; its supervisor is {found.supervisor_pid}")
        time.sleep(0.1)
    return True


def show(found: State, *, as_json: bool, processes: bool = False) -> None:
    """Print a stack's addresses and credentials."""
    if as_json:
        body = msgspec.to_builtins(found.urls) | {"demo": msgspec.to_builtins(found.demo)}
        if (file := _password_file(found)) is not None:
            body["sign_in"] = {"users": [user.email for user in USERS.values()], "password_file": str(file)}
        if processes:
            body["phase"] = found.phase
            body["processes"] = msgspec.to_builtins(found.processes)
        print(msgspec.json.encode(body).decode(), flush=True)
        return
    print(f"Runmeter is {found.phase}.")
    for name, value in msgspec.to_builtins(found.urls).items():
        print(f"  {name.removesuffix('_url').replace('_', ' '):16} {value}")
    if found.demo is not None:
        print(f"  {'demo API key':16} {found.demo.api_key}")
    show_sign_in(found)
    for process in found.processes if processes else []:
        print(
            f"  {process.name:16} {process.state:10} pid {process.pid or '-':<8} restarts {process.restarts}"
        )


def _password_file(found: State) -> Path | None:
    """Return where the embedded issuer keeps its password; `None`: it does not run, or was given one."""
    runs = any(process.name == "issuer" and process.state != "external" for process in found.processes)
    if not runs or load(IssuerSettings).password.get_secret_value():
        return None
    return password.path(data_dir().resolve())


def show_sign_in(found: State) -> None:
    """Say where to sign in and as whom; the password itself only to somebody who looks at a terminal."""
    if (file := _password_file(found)) is None:
        return
    print(f"  {'sign in at':16} {found.urls.console_url}/sign-in")
    print(f"  {'as':16} {', '.join(user.email for user in USERS.values())}")
    print(f"  {'password in':16} {file}")
    if sys.stdout.isatty() and file.exists():
        print(f"  {'password':16} {file.read_text().strip()}")
