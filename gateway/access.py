"""Who asks, and whether they may: every route's credentials are checked here.

An API key, or the session of a widget's visitor. In this order: the credential, its instance, for widgets the
page it is used from, what the key is for (scope), what the plan has (channel).
"""

from __future__ import annotations

from typing import get_args

from fastapi import Request

from gateway.errors import (
    ChannelNotAllowed,
    InvalidApiKey,
    KeyKindNotAllowed,
    MissingScope,
    OriginNotAllowed,
)
from gateway.key_uses import KeyUses
from gateway.keys import Caller, KeyDirectory
from gateway.widget import cors, origins, tokens
from gateway.widget.blocked import OriginGuard
from gateway.widget.service import WidgetSessions
from gateway.widget.tokens import SessionToken
from schemas.directory import KeyKind, KeyScope
from schemas.events import Channel

CHANNEL: dict[KeyKind, Channel] = {"secret": "api", "widget": "widget", "mcp": "mcp"}
_VISITORS: frozenset[KeyScope] = frozenset({"runs:write", "runs:read"})
#: What a key of that kind may ever be used for.
_SCOPES: dict[KeyKind, frozenset[KeyScope]] = {
    "secret": frozenset(get_args(KeyScope)),
    "widget": _VISITORS,
    "mcp": _VISITORS,
}


class AccessControl:
    """Turns requests into callers. Raises the gateway's errors."""

    def __init__(
        self, directory: KeyDirectory, guard: OriginGuard, sessions: WidgetSessions, uses: KeyUses
    ) -> None:
        self._directory = directory
        self._guard = guard
        self._sessions = sessions
        self._uses = uses

    async def caller(self, request: Request, scope: KeyScope) -> Caller:
        """Return who calls a route of runs, with a key or with a session."""
        credential = request.headers.get("x-api-key", "") or bearer(request)
        if tokens.looks_like_one(credential):
            _, caller = await self._session(request, credential)
        else:
            caller = await self._directory.resolve(credential)
            if caller.key.kind == "mcp":
                raise KeyKindNotAllowed("use a secret or widget key here; an MCP key opens the MCP endpoint")
            if caller.key.kind == "widget":
                await self._from_allowed_page(request, caller)
        return self._granted(caller, scope)

    async def secret(self, request: Request, scope: KeyScope, channel: Channel) -> Caller:
        """Return who calls a route that is for servers only: neither pages nor MCP clients."""
        credential = request.headers.get("x-api-key", "") or bearer(request)
        if tokens.looks_like_one(credential):
            raise KeyKindNotAllowed("use a secret key here; a widget's session opens /v1/runs")
        caller = await self._directory.resolve(credential)
        if caller.key.kind != "secret":
            raise KeyKindNotAllowed(f"use a secret key here, on a server; this is a {caller.key.kind} key")
        return self._granted(caller, scope, channel)

    async def mcp(self, request: Request) -> Caller:
        """Return whose MCP client calls; from a page, only if the key names the page's origin."""
        caller = await self._directory.resolve(request.headers.get("x-api-key", "") or bearer(request))
        if caller.key.kind != "mcp":
            raise KeyKindNotAllowed(f"use an MCP key here; this is a {caller.key.kind} key")
        # Clients that are no browsers send none. A page that a name was rebound for sends its own.
        if found := request.headers.getlist("origin"):
            await self._guard.check(caller, origins.the_one(found))
        return self._granted(caller, "runs:write")

    async def widget_key(self, request: Request, key: str) -> Caller:
        """Return whose widget's key begins a session."""
        if not key:
            raise InvalidApiKey("send the widget's key in the X-API-Key header, or as api_key in the body")
        caller = await self._directory.resolve(key)
        if caller.key.kind != "widget":
            raise KeyKindNotAllowed("only a widget's key begins sessions; keep other keys out of pages")
        await self._from_allowed_page(request, caller)
        return self._granted(caller, "runs:write")

    async def session(self, request: Request) -> tuple[SessionToken, Caller]:
        """Return the session that the request carries, and whose it is."""
        token, caller = await self._session(request, bearer(request))
        return token, self._granted(caller, "runs:write")

    async def _session(self, request: Request, text: str) -> tuple[SessionToken, Caller]:
        token = await self._sessions.open(text)
        origin = origins.the_one(request.headers.getlist("origin"))
        if origin == token.origin:
            # So that the page can read why its session is over, too.
            cors.share(request, origin)
        try:
            return token, await self._sessions.caller(token, origin)
        except OriginNotAllowed:
            cors.share(request, "")
            raise

    async def _from_allowed_page(self, request: Request, caller: Caller) -> None:
        origin = origins.the_one(request.headers.getlist("origin"))
        await self._guard.check(caller, origin)
        cors.share(request, origin)

    def _granted(self, caller: Caller, scope: KeyScope, channel: Channel | None = None) -> Caller:
        require(caller, scope, channel)
        self._uses.note(caller.key.key_id)
        return caller


def require(caller: Caller, scope: KeyScope, channel: Channel | None = None) -> None:
    """Raise `MissingScope` or `ChannelNotAllowed` unless the key and its instance's plan allow that.

    Without a `channel`, it is the one of runs with that kind of key.
    """
    key = caller.key
    channel = channel or CHANNEL[key.kind]
    allowed = _SCOPES[key.kind]
    if scope not in allowed or (key.scopes and scope not in key.scopes):
        raise MissingScope(f"this needs a key with the scope {scope}", scope=scope)
    channels = caller.instance.channels
    if channels and channel not in channels:
        raise ChannelNotAllowed(
            f"the instance's plan has no {channel} channel; use an instance whose plan has it, or ask the "
            "marketplace's operator",
            channel=channel,
        )


def bearer(request: Request) -> str:
    """Return the credential of the `Authorization` header; empty if there is none."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""
