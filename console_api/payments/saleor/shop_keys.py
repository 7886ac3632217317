"""Whether a delivery is the shop's: detached RS256 signatures by its public keys."""

from __future__ import annotations

import aiohttp
from joserfc.jwk import KeySet, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import json_b64decode, urlsafe_b64decode

from console_api.payments.port import Unavailable
from console_api.public_keys import KeysAway, Patience, PublicKeys
from kit.clock import Clock
from kit.settings import SaleorSettings

_PATH = "/.well-known/jwks.json"
#: Nothing else is accepted, whatever a header says.
_ALGORITHM = "RS256"
_RS256 = JWSRegistry.algorithms[_ALGORITHM]
_MAX_HEADER_CHARS = 1_024


class ShopKeys:
    """Verifies the shop's signatures."""

    def __init__(self, http: aiohttp.ClientSession, settings: SaleorSettings, clock: Clock) -> None:
        patience = Patience(settings.timeout_ms, settings.keys_ttl_s, settings.keys_refresh_s)
        self._keys = PublicKeys(http, settings.url.rstrip("/") + _PATH, patience, clock)

    async def fits(self, signature: str, body: bytes) -> bool:
        """Return whether a detached signature is the shop's, for this body. Raises `Unavailable`.

        One that does not fit may be made with a new key, which need not have a new name: Saleor's is always
        called `1`. So the keys are fetched again, but not more often than the settings say.
        """
        try:
            if _fits(signature, body, await self._keys.current()):
                return True
            return await self._keys.renew() and _fits(signature, body, await self._keys.current())
        except KeysAway:
            raise Unavailable("the shop's keys are not to be had") from None


def _fits(signature: str, body: bytes, keys: KeySet) -> bool:
    """Return whether one of the keys made a signature over the header and the body as it is (RFC 7797).

    Saleor leaves out `crit`, which the RFC wants beside `b64`; whoever sends it may name nothing else in it.
    """
    protected, dot, value = signature.partition("..")
    # The payload has to be the body, never one that the signature brings along.
    if not dot or "." in protected or "." in value or len(protected) > _MAX_HEADER_CHARS:
        return False
    try:
        header, made = json_b64decode(protected.encode()), urlsafe_b64decode(value.encode())
    except ValueError:
        return False
    if not isinstance(header, dict) or header.get("alg") != _ALGORITHM or header.get("b64") is not False:
        return False
    if header.get("crit", ["b64"]) != ["b64"]:
        return False
    signed = protected.encode() + b"." + body
    return any(_RS256.verify(signed, made, key) for key in keys.keys if isinstance(key, RSAKey))
