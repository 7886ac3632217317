"""Ports of the embedded stack: the default where it is free, another where it is not, the same ever after."""

from __future__ import annotations

import socket
from collections.abc import Mapping


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
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
