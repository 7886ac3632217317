"""Calls to systems that owners of instances name: bounded, over TLS, and never into our network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kit.safe_http import FetchFailed, FetchLimits, Reply, Resolve, SafeHttp, resolve_by_system
from kit.settings import ConnectorSettings

_USER_AGENT = "Runmeter-Connector/1.0"
_BUSY = 429


class CallFailed(Exception):
    """No answer came, or one that cannot be used. `code` is a stable word."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Outbound:
    """Sends requests. Credentials are in headers only, and in no error."""

    def __init__(self, settings: ConnectorSettings, resolve: Resolve = resolve_by_system) -> None:
        self.settings = settings
        self._private = frozenset(host.strip() for host in settings.private_hosts.split(",") if host.strip())
        self._limits = FetchLimits(settings.timeout_ms / 1000, settings.max_answer_bytes, 0, _USER_AGENT)
        self._resolve = resolve

    async def json(self, method: str, url: str, headers: Mapping[str, str], body: Any = None) -> Reply:
        """Send JSON. Raises `CallFailed`; a status of any kind is the caller's to judge."""
        sent = {"Accept": "application/json", **headers}
        if body is None:
            return await self.send(method, url, sent)
        return await self.send(
            method,
            url,
            {"Content-Type": "application/json; charset=utf-8", **sent},
            msgspec.json.encode(body),
        )

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        """Send a request, once more if the other side was too busy to take it. Raises `CallFailed`."""
        self._check(url)
        reply = await self._once(method, url, headers, body)
        if reply.status != _BUSY:
            return reply
        wait_s = _seconds(reply.header("Retry-After"))
        if wait_s is None or wait_s > self.settings.max_retry_after_s:
            raise _busy(wait_s)
        await asyncio.sleep(wait_s)
        again = await self._once(method, url, headers, body)
        if again.status == _BUSY:
            raise _busy(_seconds(again.header("Retry-After")))
        return again

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in self._private:
            raise CallFailed("address_refused", "credentials are sent over https:// only")

    async def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        try:
            async with SafeHttp(self._limits, self._private, self._resolve) as http:
                reply = await http.send(method, url, headers, body)
        except FetchFailed as error:
            raise CallFailed(error.code, str(error)) from error
        if 300 <= reply.status < 400:
            raise CallFailed("redirected", "the other system redirects; give the address it redirects to")
        return reply


def _seconds(retry_after: str) -> int | None:
    return int(retry_after) if retry_after.isdigit() and len(retry_after) < 6 else None


def _busy(wait_s: int | None) -> CallFailed:
    again = f"in {wait_s} seconds" if wait_s is not None else "later"
    return CallFailed("busy", f"the other system takes no more calls right now; try again {again}")
