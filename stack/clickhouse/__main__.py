"""`python -m stack.clickhouse`: start the server and print one line when it is ready."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import IO

import uvicorn

from kit import logs
from kit.settings import ClickHouseSettings
from stack.clickhouse import deduplication
from stack.clickhouse.config import ServerConfig
from stack.clickhouse.engine import Engine
from stack.clickhouse.errors import QueryError
from stack.clickhouse.server import Server

log = logging.getLogger("stack.clickhouse")

_UNCLEAN = "server.running"
_MAX_CONNECTIONS = 1_000
#: As a ClickHouse server; our clients keep idle connections for less.
_KEEP_ALIVE_SECONDS = 30


def read_arguments(arguments: list[str]) -> ServerConfig:
    """Return the configuration from the command line; the password comes from the environment only."""
    parser = argparse.ArgumentParser(prog="python -m stack.clickhouse", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18123)
    parser.add_argument("--path", type=Path, required=True, help="data directory, made when missing")
    for name, kind in _LIMITS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=ServerConfig.__dataclass_fields__[name].default
        )
    given = vars(parser.parse_args(arguments))
    given["path"] = given["path"].resolve()
    return ServerConfig(password=ClickHouseSettings().password.get_secret_value(), **given)


_LIMITS: dict[str, type] = {
    "max_threads": int,
    "max_memory_bytes": int,
    "max_query_seconds": float,
    "max_concurrent_queries": int,
    "max_queued_queries": int,
    "queue_wait_seconds": float,
    "max_body_bytes": int,
    "max_buffered_bytes": int,
    "max_result_bytes": int,
    "stall_seconds": float,
    "shutdown_grace_seconds": float,
}


class StartError(Exception):
    """The server cannot start; the text is the one line that says why and what to do."""


def take_directory(path: Path) -> IO[str]:
    """Make `path` this process's own until it ends, however it ends. Raises `StartError` when it is taken."""
    path.mkdir(parents=True, exist_ok=True)
    lock = (path / "server.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        raise StartError(
            f"{path} is in use by process {lock.read().strip()}: stop it, or use another --path"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address. Raises `StartError` when it is taken."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted sockets inherit it; without it every answer waits 40 ms for the client's delayed ACK.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}; use another --port") from None
    return bound


def recover(path: Path) -> None:
    """Make good what a kill left behind, and mark the directory as in use until a clean stop."""
    unclean = path / _UNCLEAN
    if unclean.exists():
        forgotten = deduplication.repair(path)
        log.warning("was not stopped cleanly", extra={"blocks_forgotten": forgotten})
    unclean.touch()


async def serve(config: ServerConfig, bound: socket.socket, started: float) -> None:
    """Serve until SIGTERM or SIGINT; then end running queries and close the engine."""
    try:
        engine = Engine(config)
    except QueryError as error:
        raise StartError(f"the engine does not open {config.path}: {error.text}") from None
    server = Server(config, engine)
    http = uvicorn.Server(
        uvicorn.Config(
            server,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(config.shutdown_grace_seconds)),
        )
    )
    host, port = bound.getsockname()[:2]
    log.info(
        "ready", extra={"url": f"http://{host}:{port}", "engine": engine.version, "start_ms": _since(started)}
    )
    # uvicorn raises the signal that stopped it once more when it is done; there is still the engine to close.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    await http.serve(sockets=[bound])
    if not await server.close():
        # Closing the engine would wait for a query that cannot be stopped. What was acknowledged is on disk.
        log.error("a query did not stop; leaving without closing the engine")
        os._exit(1)
    engine.close()
    log.info("stopped")


def main(arguments: list[str]) -> int:
    started = time.perf_counter()
    config = read_arguments(arguments)
    logs.configure("clickhouse")
    # Its own words on an aborted response or a bad request repeat ours.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    try:
        run(config, started)
    except StartError as error:
        print(f"clickhouse: {error}", file=sys.stderr)
        return 1
    return 0


def run(config: ServerConfig, started: float) -> None:
    """Take the directory and the port, repair, and serve. Raises `StartError`."""
    with take_directory(config.path), listen(config.host, config.port) as bound:
        shutil.rmtree(config.path / "tmp", ignore_errors=True)
        (config.path / "tmp").mkdir()
        # A bare table name that is a file's name would be read as that file: be where there are none.
        (config.path / "empty").mkdir(exist_ok=True)
        os.chdir(config.path / "empty")
        recover(config.path)
        asyncio.run(serve(config, bound, started))
        (config.path / _UNCLEAN).unlink()


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
