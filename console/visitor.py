"""One visitor's calls to the console API: with the token of now, and the org of their page."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from console.api import ApiClient, Call, Query, Raw, SignedOut
from console.oidc import OidcClient

Answer = TypeVar("Answer")

ORG_HEADER = "X-Runmeter-Org"
TOKEN_KEY, ORG_KEY = "access_token", "org_id"


def part(text: str) -> str:
    """Return text as one segment of a path."""
    return quote(text, safe="")


class Visitor:
    """Whoever has this session, on one page.

    Every call raises `ApiError`; `SignedOut` when there is no valid token.
    """

    def __init__(
        self,
        api: ApiClient,
        storage: MutableMapping[str, Any],
        session_id: str,
        *,
        shared_token: str = "",
        oidc: OidcClient | None = None,
        org_id: str | None = None,
    ) -> None:
        self._api = api
        self._shared_token = shared_token
        self._oidc = oidc
        self.storage = storage
        self.session_id = session_id
        #: The org meant; empty leaves it to the API. Fixed here: another tab that chooses another one must
        #: not change what a page that says this one does.
        self.org_id = str(storage.get(ORG_KEY) or "") if org_id is None else org_id

    def choose_org(self, org_id: str) -> None:
        """Act for an org from now on, as does every page that is opened later."""
        self.org_id = self.storage[ORG_KEY] = org_id

    async def headers(self) -> dict[str, str]:
        """Return what identifies the visitor to the API."""
        token = self._shared_token or self.storage.get(TOKEN_KEY)
        if not token and self._oidc is not None:
            token = await self._oidc.access_token(self.storage)
        if not token:
            raise SignedOut(401, "signed_out", "Your session has ended. Sign in again.")
        org = {ORG_HEADER: self.org_id} if self.org_id else {}
        return {"Authorization": f"Bearer {token}", **org}

    async def get(self, path: str, kind: type[Answer], query: Query = ()) -> Answer:
        return (await self.call(Call("GET", path, query))).as_(kind)

    async def post(self, path: str, kind: type[Answer], body: object = None, **headers: str) -> Answer:
        return (await self.call(Call("POST", path, body=body, headers=_named(headers)))).as_(kind)

    async def call(self, call: Call) -> Raw:
        return await self._api.send(call, await self.headers())

    @asynccontextmanager
    async def stream(
        self, path: str, query: Query = (), last_event_id: str | None = None
    ) -> AsyncIterator[AsyncIterable[bytes]]:
        """Open a long answer and lend its bytes."""
        headers = await self.headers()
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        async with self._api.stream(path, headers, query) as chunks:
            yield chunks

    async def versioned(self, path: str, kind: type[Answer]) -> tuple[Answer, str]:
        """Return an answer with its ETag, which a change is sent with."""
        raw = await self.call(Call("GET", path))
        return raw.as_(kind), raw.headers.get("ETag", "")


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def plain(value: object) -> Any:
    """Return a struct as plain data, to be kept in a session or sent."""
    return msgspec.to_builtins(value)
