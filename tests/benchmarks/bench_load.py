"""A closed-loop HTTP load: N clients, each sending its next request when the last one is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import psutil


@dataclass(frozen=True)
class Load:
    """What a load saw. Latencies in milliseconds; `cpu_s` is what the named processes used meanwhile."""

    requests: int
    seconds: float
    latencies_ms: list[float]
    cpu_s: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def per_core_second(self) -> float:
        """Requests per second of processor time of the servers under test."""
        return self.requests / self.cpu_s if self.cpu_s else 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def cpu_of(pids: Sequence[int]) -> float:
    """Return the processor seconds these processes have used so far."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


async def drive(
    url: str,
    *,
    body: bytes,
    headers: dict[str, str],
    clients: int,
    requests: int,
    pids: Sequence[int],
    expect: int = 200,
) -> Load:
    """Send `requests` POSTs with `clients` clients, after a warm-up of a tenth. Raises on another status."""
    latencies: list[float] = []
    left = 0
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def client(record: bool) -> None:
            nonlocal left
            while left > 0:
                left -= 1
                began = time.perf_counter()
                async with session.post(url, data=body) as response:
                    said = await response.read()
                if response.status != expect:
                    raise RuntimeError(f"{url} answered {response.status}: {said[:300]!r}")
                if record:
                    latencies.append((time.perf_counter() - began) * 1000)

        left = max(clients, requests // 10)
        await asyncio.gather(*[client(False) for _ in range(clients)])
        cpu, began, left = cpu_of(pids), time.perf_counter(), requests
        await asyncio.gather(*[client(True) for _ in range(clients)])
        seconds = time.perf_counter() - began
    return Load(requests, seconds, latencies, cpu_of(pids) - cpu)
