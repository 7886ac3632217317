"""A Weaviate of the machine's own, where its binary is."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from containers import free_ports

from kit.settings import KnowledgeSettings

START_SECONDS = 60.0


class NotThere(Exception):
    """There is no binary to start."""


def binary() -> str:
    if named := os.environ.get("RUNMETER_WEAVIATE_BINARY"):
        return named
    for name in ("weaviate-server", "weaviate"):
        local = Path.home() / "go" / "bin" / name
        if found := shutil.which(name) or (str(local) if local.exists() else None):
            return found
    raise NotThere(
        "no RUNMETER_WEAVIATE_BINARY, no `weaviate-server` on PATH or in ~/go/bin: "
        "`go install github.com/weaviate/weaviate/cmd/weaviate-server@v1.34.0`"
    )


@contextmanager
def running(folder: Path) -> Iterator[KnowledgeSettings]:
    """Run a server until the block ends."""
    path = binary()
    ports = free_ports("http", "grpc", "gossip", "data", "raft", "raft_rpc", "profiling")
    environment = {
        **os.environ,
        "PERSISTENCE_DATA_PATH": str(folder),
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "DEFAULT_VECTORIZER_MODULE": "none",
        "DISABLE_TELEMETRY": "true",
        "CLUSTER_HOSTNAME": "node1",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_GOSSIP_BIND_PORT": str(ports["gossip"]),
        "CLUSTER_DATA_BIND_PORT": str(ports["data"]),
        "RAFT_PORT": str(ports["raft"]),
        "RAFT_INTERNAL_RPC_PORT": str(ports["raft_rpc"]),
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "GRPC_PORT": str(ports["grpc"]),
        "GO_PROFILING_PORT": str(ports["profiling"]),
        "LOG_LEVEL": "warning",
    }
    command = [path, "--host", "127.0.0.1", "--port", str(ports["http"]), "--scheme", "http"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait(process, f"http://127.0.0.1:{ports['http']}/v1/.well-known/ready", folder / "server.log")
        yield KnowledgeSettings(
            store="weaviate",
            weaviate_url=f"http://127.0.0.1:{ports['http']}",
            weaviate_grpc_port=ports["grpc"],
        )
    finally:
        process.terminate()
        process.wait(20)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"Weaviate did not start:\n{log.read_text()[-2000:]}")
