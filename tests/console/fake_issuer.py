"""An OpenID Connect issuer that speaks the real protocol: code + PKCE, refresh, end of session."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec
from aiohttp import web


@dataclass
class Issuer:
    """Gives out `access_token` to whoever proves the PKCE challenge; counts what it is asked."""

    access_token: str
    url: str = ""
    expires_in: int = 3_600
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refresh_tokens: set[str] = field(default_factory=set)
    refreshed: int = 0
    ended: list[str] = field(default_factory=list)

    async def discovery(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "end_session_endpoint": f"{self.url}/end",
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def authorize(self, request: web.Request) -> web.Response:
        """Sign the visitor in without asking, as an issuer with a running session does."""
        asked = dict(request.query)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["scope"].startswith("openid")
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

    async def token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refresh_tokens:
                return web.json_response({"error": "invalid_grant"}, status=400)
            self.refresh_tokens.discard(str(form["refresh_token"]))
            self.refreshed += 1
            return self._tokens("")
        asked = self.codes.pop(str(form["code"]), None)
        digest = urlsafe_b64encode(sha256(str(form["code_verifier"]).encode()).digest()).rstrip(b"=").decode()
        if (
            asked is None
            or asked["code_challenge"] != digest
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return self._tokens(asked["nonce"])

    def _tokens(self, nonce: str) -> web.Response:
        refresh = secrets.token_urlsafe(8)
        self.refresh_tokens.add(refresh)
        claims = (
            urlsafe_b64encode(msgspec.json.encode({"iss": self.url, "nonce": nonce})).rstrip(b"=").decode()
        )
        return web.json_response(
            {
                "access_token": self.access_token,
                "token_type": "Bearer",
                "expires_in": self.expires_in,
                "refresh_token": refresh,
                "id_token": f"e30.{claims}.c2ln",
            }
        )

    async def end(self, request: web.Request) -> web.Response:
        self.ended.append(request.query.get("id_token_hint", ""))
        raise web.HTTPFound(request.query["post_logout_redirect_uri"])


@asynccontextmanager
async def issuer(access_token: str) -> AsyncIterator[Issuer]:
    """Run an issuer until the block ends."""
    made = Issuer(access_token)
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", made.discovery)
    app.router.add_get("/authorize", made.authorize)
    app.router.add_post("/token", made.token)
    app.router.add_get("/end", made.end)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
