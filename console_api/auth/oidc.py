"""Access tokens of an OpenID Connect issuer (Keycloak, or the embedded one): signed JWTs, verified here.

Checked: the signature by one of the issuer's own keys with an asymmetric algorithm, `iss`, `aud` (or `azp`,
where Keycloak puts the client), `exp`, `nbf` and `iat` with some leeway for clocks (RFC 7519, RFC 9068).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from console_api.public_keys import KeysAway, Patience, PublicKeys
from kit.clock import Clock
from kit.problems import Unauthorized, Unavailable
from kit.settings import OidcSettings

#: Asymmetric ones only: with `HS256` a public key would do as a secret, and `none` needs nothing.
_ALGORITHMS = ("RS256", "PS256", "ES256", "RS384", "PS384", "ES384", "RS512", "PS512", "ES512", "EdDSA")
_REGISTRY = JWSRegistry(algorithms=list(_ALGORITHMS))
_MAX_TOKEN_CHARS = 8_192
_DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Claims:
    """What a verified token says of its bearer. `email` only if the issuer verified it."""

    issuer: str
    subject: str
    tenant_id: str
    email: str
    name: str
    is_operator: bool
    is_analyst: bool
    expires_at_ms: int


def looks_like_jwt(token: str) -> bool:
    return token.count(".") == 2


class Verifier:
    """Verifies the tokens of one issuer."""

    def __init__(self, http: aiohttp.ClientSession, settings: OidcSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        patience = Patience(settings.timeout_ms, settings.keys_ttl_s, settings.keys_refresh_s)
        url = settings.issuer.rstrip("/") + _DISCOVERY
        self._keys = PublicKeys(http, url, patience, clock, issuer=settings.issuer)
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: clock() // 1000,
            leeway=settings.leeway_s,
            iss={"essential": True, "value": settings.issuer},
            sub={"essential": True},
            exp={"essential": True},
        )

    async def verify(self, token: str) -> Claims:
        """Return what a token says. Raises `Unauthorized`, or `Unavailable` if its issuer cannot be asked."""
        if len(token) > _MAX_TOKEN_CHARS:
            raise invalid_token()
        try:
            key_id = _key_id(token)
            keys = await self._keys.current()
            if not _has(keys, key_id) and await self._keys.renew():
                keys = await self._keys.current()
            if not _has(keys, key_id):
                raise invalid_token()
            claims = jwt.decode(token, keys, registry=_REGISTRY).claims
            self._claims.validate(claims)
            self._check_audience(claims)
        except KeysAway:
            raise Unavailable(
                "The issuer of your token cannot be asked for its keys; try again.",
                headers={"Retry-After": "5"},
            ) from None
        except (JoseError, ValueError, TypeError, LookupError):
            raise invalid_token() from None
        return self._read(claims)

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        audience = claims.get("aud", [])
        named = {audience} if isinstance(audience, str) else set(audience)
        if self._settings.audience not in named | {claims.get("azp")}:
            raise ValueError("it is meant for others")

    def _read(self, claims: Mapping[str, Any]) -> Claims:
        settings = self._settings
        tenant_id = _text(claims, settings.tenant_claim) if settings.tenant_claim else settings.tenant_id
        listed = _at(claims, settings.roles_claim)
        roles = listed if isinstance(listed, list) else []
        return Claims(
            issuer=settings.issuer,
            subject=_text(claims, "sub"),
            tenant_id=tenant_id,
            email=_text(claims, "email").lower() if claims.get("email_verified") is True else "",
            name=_text(claims, "name"),
            is_operator=settings.operator_role in roles,
            is_analyst=bool(settings.analyst_role) and settings.analyst_role in roles,
            expires_at_ms=int(claims["exp"]) * 1000,
        )


def invalid_token() -> Unauthorized:
    return Unauthorized(
        "Send `Authorization: Bearer <access token>` with a token that is still valid.",
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


def _key_id(token: str) -> str | None:
    """Return the name of the key that a token claims to be signed with. Raises `JoseError`, `ValueError`."""
    header = jws.extract_compact(token.encode()).headers()
    if header.get("alg") not in _ALGORITHMS:
        raise ValueError("not an algorithm that is taken")
    key_id = header.get("kid")
    return key_id if isinstance(key_id, str) else None


def _has(keys: KeySet, key_id: str | None) -> bool:
    return key_id is None or any(key.kid == key_id for key in keys.keys)


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path, as `realm_access.roles`; `None` where there is none."""
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _text(claims: Mapping[str, Any], path: str) -> str:
    found = _at(claims, path)
    return found[:256] if isinstance(found, str) else ""
