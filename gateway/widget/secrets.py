"""What session tokens are signed with: the same secret on every gateway."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256

from joserfc.jwk import OctKey
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.errors import LimitsUnavailable
from kit.clock import Clock
from schemas import keys

_MIN_CHARS = 32
_REMEDY = (
    f"invalid settings: RUNMETER_GATEWAY_SESSION_SECRETS: give secrets of at least {_MIN_CHARS} random "
    "characters each, comma-separated; the first signs"
)
#: How often the shared secret is looked at again, and how often at most because a token names another one.
_REFRESH_MS = 30_000
_AGAIN_MS = 1_000
#: Of Redis' secrets those that were valid before stay valid: a Redis that lost its data made a new one.
_KEPT = 3


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret. `secret_id` names it in a token's header."""

    secret_id: str
    key: OctKey
    bytes: bytes


def configured(text: str) -> tuple[Secret, ...]:
    """Return the secrets a setting names, the signing one first. Raises `SystemExit` with the remedy."""
    named = [part.strip() for part in text.split(",") if part.strip()]
    if any(len(part) < _MIN_CHARS for part in named):
        raise SystemExit(_REMEDY)
    return tuple(_secret(part.encode()) for part in named)


class SessionSecrets:
    """The setting's secrets, or else one that the first gateway leaves in Redis for all of them."""

    def __init__(self, redis: Redis, named: tuple[Secret, ...], clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._shared = not named
        self._known = named
        self._looked_ms = 0

    async def signing(self) -> Secret:
        """Return the secret that signs. Raises `LimitsUnavailable`."""
        if self._shared and self._clock() - self._looked_ms >= _REFRESH_MS:
            await self._look()
        return self._known[0]

    async def named(self, secret_id: str) -> Secret | None:
        """Return the secret that a token was signed with. Raises `LimitsUnavailable`."""
        found = self._find(secret_id)
        if found is None and self._shared and self._clock() - self._looked_ms >= _AGAIN_MS:
            await self._look()
            found = self._find(secret_id)
        return found

    def _find(self, secret_id: str) -> Secret | None:
        return next((known for known in self._known if known.secret_id == secret_id), None)

    async def _look(self) -> None:
        """Agree with the other gateways. A Redis that lost the secret is given it back."""
        own = self._known[0].bytes if self._known else secrets.token_urlsafe(48).encode()
        try:
            theirs: bytes | str | bool | None = await self._redis.set(
                keys.session_secret(), own, nx=True, get=True
            )
        except RedisError as error:
            if self._known:
                return
            raise LimitsUnavailable(headers={"Retry-After": "2"}) from error
        self._looked_ms = self._clock()
        agreed = _secret(theirs if isinstance(theirs, bytes) else own)
        older = tuple(known for known in self._known if known.secret_id != agreed.secret_id)
        self._known = (agreed, *older)[:_KEPT]


def _secret(text: bytes) -> Secret:
    return Secret(sha256(text).hexdigest()[:8], OctKey.import_key(text), text)
