"""Signed tokens: a session's (15 minutes) and a visitor's (half a year), JWTs with HS256 (RFC 7519).

Times in tokens are Unix seconds. A token says what was true when it was signed: whoever opens one still asks
the key directory whether its key is.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from msgspec import Struct

from gateway.errors import InvalidSession
from gateway.widget.secrets import Secret, SessionSecrets

#: Nothing else is accepted, whatever a token's header says.
_ALGORITHMS = ["HS256"]
_MAX_CHARS = 2_048
_REMEDY = "begin a session with POST /v1/widget/session:init"


class SessionToken(Struct, frozen=True, kw_only=True):
    """A visitor's session. `key` is the digest that the session's API key is looked up by.

    `began`: when the first token of the session was signed; refreshing keeps it.
    """

    sub: str
    sid: str
    key: str
    instance_id: str
    origin: str
    began: int
    iat: int
    exp: int
    aud: Literal["widget-session"] = "widget-session"
    iss: Literal["runmeter-gateway"] = "runmeter-gateway"


class VisitorToken(Struct, frozen=True, kw_only=True):
    """Lets a browser be the same visitor next time, in the widgets of one instance."""

    sub: str
    instance_id: str
    iat: int
    exp: int
    aud: Literal["widget-visitor"] = "widget-visitor"
    iss: Literal["runmeter-gateway"] = "runmeter-gateway"


Token = TypeVar("Token", SessionToken, VisitorToken)


def looks_like_one(text: str) -> bool:
    """Return whether a credential is a token rather than an API key."""
    return text.count(".") == 2


def signed(token: SessionToken | VisitorToken, secret: Secret) -> str:
    """Return the token's text."""
    header = {"typ": "JWT", "alg": "HS256", "kid": secret.secret_id}
    return jws.serialize_compact(header, msgspec.json.encode(token), secret.key, algorithms=_ALGORITHMS)


async def opened(text: str, kind: type[Token], secrets: SessionSecrets) -> Token:
    """Return a token that one of our gateways signed; it may have expired. Raises `InvalidSession`."""
    if len(text) > _MAX_CHARS or not text.isascii():
        raise InvalidSession(_REMEDY)
    try:
        secret = await secrets.named(str(jws.extract_compact(text.encode()).headers().get("kid", "")))
        if secret is None:
            raise InvalidSession(_REMEDY)
        payload = jws.deserialize_compact(text, secret.key, algorithms=_ALGORITHMS).payload
        return msgspec.json.decode(payload, type=kind)
    except (JoseError, msgspec.DecodeError, ValueError):
        raise InvalidSession(_REMEDY) from None
