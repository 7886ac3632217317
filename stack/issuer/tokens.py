"""Access and ID tokens, as JWTs. All times are Unix seconds."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256

import msgspec
from msgspec import Struct

from kit.clock import Clock, new_id
from stack.issuer.sessions import Session
from stack.issuer.signing_keys import SigningKeys
from stack.issuer.users import USERS

#: Whom access tokens are for.
AUDIENCE = "runmeter"
TTL_S = 600


class AccessToken(Struct, frozen=True, kw_only=True):
    """What the console API reads. `realm_access` has Keycloak's shape: `{"roles": […]}`."""

    iss: str
    sub: str
    aud: str
    azp: str
    exp: int
    iat: int
    jti: str
    sid: str
    scope: str
    email: str
    email_verified: bool
    name: str
    realm_access: dict[str, tuple[str, ...]]


class IdToken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the client reads. `at_hash`: of the access token that came with it."""

    iss: str
    sub: str
    aud: str
    azp: str
    exp: int
    iat: int
    auth_time: int
    sid: str
    at_hash: str
    nonce: str = ""
    email: str = ""
    email_verified: bool = False
    name: str = ""


class Tokens:
    """Makes and opens the tokens of one issuer."""

    def __init__(self, issuer: str, keys: SigningKeys, now_ms: Clock) -> None:
        self._issuer, self._keys, self._now_ms = issuer, keys, now_ms

    def access_token(self, session: Session, scope: str) -> str:
        """Return an access token of ten minutes."""
        user, now = USERS[session.subject], self._now_ms() // 1_000
        return self._keys.sign(
            AccessToken(
                iss=self._issuer,
                sub=user.subject,
                aud=AUDIENCE,
                azp=session.client_id,
                exp=now + TTL_S,
                iat=now,
                jti=new_id("at"),
                sid=session.session_id,
                scope=scope,
                email=user.email,
                email_verified=True,
                name=user.name,
                realm_access={"roles": user.roles},
            )
        )

    def id_token(self, session: Session, access_token: str, nonce: str) -> str:
        """Return an ID token for the client, with what its scope names."""
        user, now = USERS[session.subject], self._now_ms() // 1_000
        scope = session.scope.split()
        return self._keys.sign(
            IdToken(
                iss=self._issuer,
                sub=user.subject,
                aud=session.client_id,
                azp=session.client_id,
                exp=now + TTL_S,
                iat=now,
                auth_time=session.signed_in_s,
                sid=session.session_id,
                at_hash=_left_half(access_token),
                nonce=nonce,
                email=user.email if "email" in scope else "",
                email_verified="email" in scope,
                name=user.name if "profile" in scope else "",
            )
        )

    def opened(self, access_token: str) -> AccessToken:
        """Return an access token that is valid now. Raises `ValueError`."""
        found = msgspec.json.decode(self._keys.verified(access_token), type=AccessToken)
        if (found.iss, found.aud) != (self._issuer, AUDIENCE) or found.exp <= self._now_ms() // 1_000:
            raise ValueError("expired, or for somebody else")
        return found

    def hinted(self, id_token: str) -> IdToken:
        """Return an ID token of ours; it may have expired. Raises `ValueError`."""
        found = msgspec.json.decode(self._keys.verified(id_token), type=IdToken)
        if found.iss != self._issuer:
            raise ValueError("another issuer's")
        return found


def _left_half(text: str) -> str:
    return urlsafe_b64encode(sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()
