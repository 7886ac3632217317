"""An OpenID Connect issuer as Keycloak is one: discovery, public keys, and tokens of its shape."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

Key = ECKey | RSAKey


def rsa(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


@dataclass
class Issuer:
    """`now_s` is its clock. `asked` counts how often its public keys were fetched."""

    now_s: int
    url: str = ""
    keys: list[Key] = field(default_factory=lambda: [rsa("first")])
    asked: int = 0
    #: What discovery calls itself, if it lies.
    called: str = ""
    #: Whoever asks it meanwhile loses the connection.
    away: bool = False

    def token(self, key: Key | None = None, alg: str = "RS256", **claims: Any) -> str:
        """Return an access token; a claim given as `None` is left out."""
        signing = key or self.keys[-1]
        usual = {
            "iss": self.url,
            "sub": "f3a1-ada",
            "aud": ["runmeter", "account"],
            "azp": "runmeter-console",
            "iat": self.now_s,
            "exp": self.now_s + 300,
            "typ": "Bearer",
            "email": "ada@example.com",
            "email_verified": True,
            "name": "Ada",
            "realm_access": {"roles": ["offline_access"]},
        }
        told = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        header = {"alg": alg, "typ": "JWT", "kid": signing.kid}
        return jwt.encode(header, told, signing, algorithms=[alg])


@asynccontextmanager
async def running(now_s: int) -> AsyncIterator[Issuer]:
    """Serve an issuer until the block ends."""
    issuer = Issuer(now_s)

    async def discovery(request: web.Request) -> web.Response:
        issuer.asked += 1
        if issuer.away and request.transport is not None:
            request.transport.abort()
        return web.json_response({"issuer": issuer.called or issuer.url, "jwks_uri": f"{issuer.url}/certs"})

    async def certs(_: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False) for key in issuer.keys]})

    app = web.Application()
    app.router.add_get("/realms/market/.well-known/openid-configuration", discovery)
    app.router.add_get("/realms/market/certs", certs)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}/realms/market"
    try:
        yield issuer
    finally:
        await runner.cleanup()
