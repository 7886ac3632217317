"""The console API as typed calls. One client per process; every call names whose token it uses."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from console.models import Account, Instance, InstancePage, RunPage

Answer = TypeVar("Answer")

_TIMEOUT = aiohttp.ClientTimeout(total=12, connect=3)
#: A live stream has no total time; a silence longer than this (heartbeats are due) means it is dead.
_STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=45)


class ApiError(Exception):
    """The API refused or cannot be reached. `detail` is meant for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class SignedOut(ApiError):
    """The access token is not, or no longer, valid."""


class Missing(ApiError):
    """There is no such thing, or it is not the caller's."""


class Unreachable(ApiError):
    """The API, or a store behind it, cannot answer now."""


class _ProblemBody(msgspec.Struct):
    code: str = "error"
    detail: str = ""


class ApiClient:
    """Calls `base_url` with a visitor's token. Every method raises `ApiError`."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def account(self, token: str) -> Account:
        return await self._get(token, "/account", Account)

    async def instances(self, token: str, search: str = "", cursor: str | None = None) -> InstancePage:
        query = {"q": search, **({"cursor": cursor} if cursor else {})}
        return await self._get(token, "/account/instances", InstancePage, query)

    async def instance(self, token: str, instance_id: str) -> Instance:
        return await self._get(token, f"/instances/{quote(instance_id, safe='')}", Instance)

    async def runs(self, token: str, instance_id: str, limit: int) -> RunPage:
        path = f"/instances/{quote(instance_id, safe='')}/runs"
        return await self._get(token, path, RunPage, {"limit": str(limit)})

    @asynccontextmanager
    async def live(
        self, token: str, instance_id: str, last_event_id: str | None
    ) -> AsyncIterator[AsyncIterable[bytes]]:
        """Open the live stream of an instance and lend its bytes (`text/event-stream`)."""
        path = f"/instances/{quote(instance_id, safe='')}/usage/live"
        headers = _headers(token)
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        async with self._opened().get(
            f"{self._base_url}/api/v1{path}", headers=headers, timeout=_STREAM_TIMEOUT
        ) as answer:
            if answer.status != 200:
                raise _error(answer.status, await answer.read())
            yield answer.content.iter_any()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        # On first use: a session belongs to the running loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def _get(
        self, token: str, path: str, kind: type[Answer], query: Mapping[str, str] | None = None
    ) -> Answer:
        try:
            async with self._opened().get(
                f"{self._base_url}/api/v1{path}", headers=_headers(token), params=query, timeout=_TIMEOUT
            ) as answer:
                body = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(503, "api_unreachable", "The service cannot be reached right now.") from error
        if answer.status != 200:
            raise _error(answer.status, body)
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            raise Unreachable(
                502, "unexpected_answer", "The service gave an answer of another version."
            ) from error


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _error(status: int, body: bytes) -> ApiError:
    try:
        problem = msgspec.json.decode(body, type=_ProblemBody)
    except msgspec.MsgspecError:
        problem = _ProblemBody()
    kind = {401: SignedOut, 403: SignedOut, 404: Missing}.get(
        status, Unreachable if status >= 500 else ApiError
    )
    return kind(status, problem.code, problem.detail or "The service gave no reason.")
