"""Ports of the embedded stack: the default where it is free, another where it is not, the same ever after."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from pathlib import Path

_LOWEST = 10_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1_000


def is_free(port: int) -> bool:
    """Return whether a server could listen on that loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(wanted: Mapping[str, int], remembered: Mapping[str, int]) -> dict[str, int]:
    """Return a free port for each name: the remembered one, else the wanted one, else any."""
    chosen: dict[str, int] = {}
    for name, default in wanted.items():
        candidates = [remembered.get(name, 0), default]
        port = next((p for p in candidates if p and p not in chosen.values() and is_free(p)), 0)
        chosen[name] = port or _any(set(chosen.values()))
    return chosen


def _any(taken: set[int]) -> int:
    """Return a port that no outgoing connection gets: one of those may be gone before a server listens."""
    choice = random.SystemRandom()
    for _ in range(_TRIES):
        port = choice.randrange(_LOWEST, _first_ephemeral())
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {_LOWEST} and {_first_ephemeral() - 1}")


def _first_ephemeral() -> int:
    try:
        first = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError):
        first = 32_768
    return max(first, _LOWEST + _TRIES)
