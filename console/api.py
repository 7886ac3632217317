"""The console API over HTTP: one client per process, typed answers, errors meant for people."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import msgspec

Answer = TypeVar("Answer")
Query = Mapping[str, str] | tuple[tuple[str, str], ...]

_CONNECT_S = 10
_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=_CONNECT_S)
_UPLOAD_TIMEOUT = aiohttp.ClientTimeout(total=300, connect=_CONNECT_S)
#: A live stream has no total time; a silence longer than this (heartbeats are due) means it is dead.
_STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=45)
_NO_PATH = "No such path"


class ApiError(Exception):
    """The API refused or cannot be reached. `detail` is meant for people."""

    def __init__(
        self, status: int, code: str, detail: str, allowed: tuple[str, ...] = (), title: str = ""
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        #: What is wrong, where `detail` is only what would help.
        self.title = title
        #: What would have been possible instead, where the API says so.
        self.allowed = allowed
        self.status = status
        self.code = code
        self.detail = detail


class SignedOut(ApiError):
    """The access token is not, or no longer, valid."""


class Refused(ApiError):
    """The visitor's role does not allow it."""


class Missing(ApiError):
    """There is no such thing, or it is not the caller's."""


class NotOffered(Missing):
    """This server has no such feature."""


class Stale(ApiError):
    """Somebody else changed it in the meantime."""


class Unreachable(ApiError):
    """The API, or a store behind it, cannot answer now."""


class _ProblemBody(msgspec.Struct):
    title: str = ""
    code: str = "error"
    detail: str = ""
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call:
    """One request below `/api/v1`. `body` is sent as JSON, `content` as it is."""

    method: str
    path: str
    query: Query = ()
    body: object = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """An answer that is no error."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def as_(self, kind: type[Answer]) -> Answer:
        """Return the body decoded. Raises `Unreachable` when it is of another version."""
        try:
            return msgspec.json.decode(self.body or b"null", type=kind)
        except msgspec.MsgspecError as error:
            raise Unreachable(
                502, "unexpected_answer", "The service gave an answer of another version."
            ) from error


class ApiClient:
    """Sends calls to `base_url`. Every method raises `ApiError`."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: Call, headers: Mapping[str, str]) -> Raw:
        """Send a call with these headers besides its own."""
        sent = {**headers, **call.headers}
        data = call.content
        if call.body is not None:
            data, sent["Content-Type"] = msgspec.json.encode(call.body), "application/json"
        try:
            async with self._opened().request(
                call.method,
                f"{self._base_url}/api/v1{call.path}",
                headers=sent,
                params=call.query or None,
                data=data,
                timeout=_UPLOAD_TIMEOUT if call.content is not None else _TIMEOUT,
            ) as answer:
                body = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _away() from error
        if answer.status >= 300:
            raise problem(answer.status, body)
        return Raw(answer.status, answer.headers, body)

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str], query: Query = ()
    ) -> AsyncIterator[AsyncIterable[bytes]]:
        """Open a long answer (`text/event-stream`, a file) and lend its bytes, which may break off."""
        url = f"{self._base_url}/api/v1{path}"
        async with AsyncExitStack() as opened:
            try:
                answer = await opened.enter_async_context(
                    self._opened().get(url, headers=headers, params=query or None, timeout=_STREAM_TIMEOUT)
                )
                failed = await answer.read() if answer.status != 200 else b""
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise _away() from error
            if answer.status != 200:
                raise problem(answer.status, failed)
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


def _away() -> Unreachable:
    return Unreachable(
        503, "api_unreachable", "The service cannot be reached right now. Try again in a moment."
    )


def problem(status: int, body: bytes) -> ApiError:
    """Return the error that an answer of the API says."""
    try:
        told = msgspec.json.decode(body, type=_ProblemBody)
    except msgspec.MsgspecError:
        told = _ProblemBody()
    kinds: dict[int, type[ApiError]] = {401: SignedOut, 403: Refused, 404: Missing, 412: Stale}
    kind = kinds.get(status, Unreachable if status >= 500 else ApiError)
    if (status == 404 and told.detail.startswith(_NO_PATH)) or status == 405:
        return NotOffered(status, told.code, "This server does not offer that.", title=told.title)
    return kind(status, told.code, told.detail or "The service gave no reason.", told.allowed, told.title)
