"""Single requests to the gateway, with their status: what `Traffic` retries, some faults want to see."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
from oracle import Told


@dataclass(frozen=True)
class Reply:
    """One answer; `status` 0 means that there was none."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class Client:
    """Sends runs and keeps what was acknowledged."""

    def __init__(self, gateway_url: str, connections: int = 100) -> None:
        self._url = f"{gateway_url}/v1/runs"
        self._connections = connections
        self.told: dict[str, Told] = {}

    async def __aenter__(self) -> Client:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=120),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def run(self, key: str, body: dict[str, Any], idempotency_key: str = "") -> Reply:
        """Send one run once."""
        headers = {"X-API-Key": key, "Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        try:
            async with self._http.post(self._url, json=body, headers=headers) as response:
                reply = Reply(response.status, await response.json(content_type=None))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Reply(0, {})
        if "usage" in reply.body:
            self._keep(reply.body)
        return reply

    def _keep(self, body: dict[str, Any]) -> None:
        usage = body["usage"]
        whole, _, part = str(usage["credits"]).partition(".")
        self.told[body["run_id"]] = Told(
            body["run_id"],
            body["status"],
            (body.get("error") or {}).get("code", ""),
            int(usage["tokens_in"]),
            int(usage["tokens_out"]),
            int(usage["tool_calls"]),
            int(whole) * 1_000_000 + int(part.ljust(6, "0") or 0),
        )
