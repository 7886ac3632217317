"""Signing in with OpenID Connect: authorization code with PKCE (RFC 7636), for a public client.

Tokens are kept in the visitor's session on the server; the browser holds an opaque session cookie only.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import MutableMapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit
from weakref import WeakValueDictionary

import aiohttp
import msgspec

from console.api import SignedOut, Unreachable
from kit.settings import ConsoleSettings

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_MAX_BODY = 1 << 20
#: Renew a token this long before it ends, so that none ends on its way.
_EARLY_S = 60
_TOKENS = "oidc_tokens"
_PENDING_S, _MOST_PENDING = 600, 10_000
_DISCOVERY_S = 3_600


class Metadata(msgspec.Struct, frozen=True):
    """What an issuer says of itself (`/.well-known/openid-configuration`)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str = ""
    code_challenge_methods_supported: tuple[str, ...] = ()


class Tokens(msgspec.Struct, frozen=True):
    """What the token endpoint answers."""

    access_token: str
    expires_in: int = 300
    refresh_token: str = ""
    id_token: str = ""


class _Pending(msgspec.Struct, frozen=True):
    """A sign-in that was begun: what the issuer's answer must match, and where it leads."""

    verifier: str
    state: str
    nonce: str
    go_to: str
    began_at: float


class OidcClient:
    """One client of one issuer. Its methods raise `Unreachable`, or `SignedOut` when the issuer refuses."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._issuer = settings.oidc_issuer.rstrip("/")
        self._client_id = settings.oidc_client_id
        self._scope = settings.oidc_scope
        self._base_url = settings.base_url.rstrip("/")
        self._known: tuple[float, Metadata] | None = None
        #: By browser. Not in their sessions: anybody can begin one, as often as they like.
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        #: By session, while one is being renewed.
        self._renewing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def redirect_uri(self) -> str:
        return f"{self._base_url}/sign-in/callback"

    async def begin(self, browser_id: str, go_to: str) -> str:
        """Return the address at the issuer that a visitor is sent to; remember what the answer must match."""
        metadata = await self._metadata()
        verifier, state, nonce = (secrets.token_urlsafe(48) for _ in range(3))
        self._pending[browser_id] = _Pending(verifier, state, nonce, go_to, time.time())
        self._pending.move_to_end(browser_id)
        while len(self._pending) > _MOST_PENDING:
            self._pending.popitem(last=False)
        digest = sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self._scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return _with_query(metadata.authorization_endpoint, query)

    async def finish(self, storage: MutableMapping[str, Any], browser_id: str, state: str, code: str) -> str:
        """Exchange the code of an answer for tokens; return where the visitor wanted to go."""
        pending = self._pending.pop(browser_id, None)
        if pending is None or time.time() - pending.began_at > _PENDING_S:
            raise SignedOut(400, "sign_in_expired", "This sign-in took too long. Start again.")
        if not hmac.compare_digest(pending.state.encode(), state.encode()):
            raise SignedOut(400, "sign_in_mismatch", "This answer belongs to another sign-in. Start again.")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": pending.verifier,
        }
        tokens = await self._tokens(form)
        if _claims(tokens.id_token).get("nonce") != pending.nonce:
            raise SignedOut(400, "sign_in_mismatch", "The issuer answered another sign-in. Start again.")
        _keep(storage, tokens)
        return pending.go_to

    async def access_token(self, storage: MutableMapping[str, Any]) -> str | None:
        """Return a token that is still valid, renewed where needed; `None` when signed out."""
        kept = storage.get(_TOKENS)
        if not kept:
            return None
        if kept["ends_at"] - _EARLY_S > time.time():
            return str(kept["access"])
        lock = self._renewing.setdefault(str(kept["session"]), asyncio.Lock())
        async with lock:
            kept = storage.get(_TOKENS)
            if kept and kept["ends_at"] - _EARLY_S > time.time():
                return str(kept["access"])
            if not kept or not kept["refresh"]:
                return None
            try:
                tokens = await self._tokens({"grant_type": "refresh_token", "refresh_token": kept["refresh"]})
            except SignedOut:
                storage.pop(_TOKENS, None)
                return None
            _keep(storage, tokens, kept)
            return tokens.access_token

    async def sign_out(self, storage: MutableMapping[str, Any]) -> str:
        """Forget the tokens; return the issuer's sign-out address, empty when it has none."""
        kept = storage.pop(_TOKENS, None)
        if not kept:
            return ""
        end = (await self._metadata()).end_session_endpoint
        if not end:
            return ""
        query = {"post_logout_redirect_uri": f"{self._base_url}/sign-in", "client_id": self._client_id}
        if kept["id"]:
            query["id_token_hint"] = kept["id"]
        return _with_query(end, query)

    async def _metadata(self) -> Metadata:
        if self._known and self._known[0] > time.monotonic():
            return self._known[1]
        body = await self._ask("GET", f"{self._issuer}/.well-known/openid-configuration")
        metadata: Metadata = _decoded(body, Metadata)
        if metadata.issuer.rstrip("/") != self._issuer:
            raise Unreachable(
                502, "wrong_issuer", "The sign-in service says it is another one. Tell your administrator."
            )
        self._known = (time.monotonic() + _DISCOVERY_S, metadata)
        return metadata

    async def _tokens(self, form: dict[str, str]) -> Tokens:
        endpoint = (await self._metadata()).token_endpoint
        body = await self._ask("POST", endpoint, {**form, "client_id": self._client_id})
        tokens: Tokens = _decoded(body, Tokens)
        return tokens

    async def _ask(self, method: str, url: str, form: dict[str, str] | None = None) -> bytes:
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.request(method, url, data=form, allow_redirects=False) as answer,
            ):
                body = await answer.content.read(_MAX_BODY)
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(
                503, "issuer_unreachable", "The sign-in service cannot be reached. Try again in a moment."
            ) from error
        if 400 <= status < 500 and form is not None:
            raise SignedOut(status, "sign_in_refused", "The sign-in service refused. Sign in again.")
        if status != 200:
            raise Unreachable(502, "issuer_failed", "The sign-in service failed. Try again in a moment.")
        return body


def _keep(storage: MutableMapping[str, Any], tokens: Tokens, before: dict[str, Any] | None = None) -> None:
    known = before or {"session": secrets.token_hex(8), "refresh": "", "id": ""}
    storage[_TOKENS] = {
        "session": known["session"],
        "access": tokens.access_token,
        # An issuer that does not rotate them sends none with a renewal.
        "refresh": tokens.refresh_token or known["refresh"],
        "id": tokens.id_token or known["id"],
        "ends_at": time.time() + tokens.expires_in,
    }


def _claims(id_token: str) -> dict[str, Any]:
    """Return an ID token's claims, unverified: it came from the issuer itself over its token endpoint
    (OpenID Connect Core 3.1.3.7, point 6), and nothing but the nonce is read from it."""
    parts = id_token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, msgspec.MsgspecError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _decoded(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise Unreachable(
            502, "issuer_failed", "The sign-in service gave an answer that cannot be read."
        ) from error


def _with_query(url: str, query: dict[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"
