"""The shop's public keys: fetched when needed, believed for a while, and not asked for too often."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import json_b64decode, urlsafe_b64decode

from console_api.payments.port import Unavailable
from kit.clock import Clock
from kit.settings import SaleorSettings

log = logging.getLogger(__name__)

_PATH = "/.well-known/jwks.json"
_MAX_KEYS_BYTES = 65_536


#: Nothing else is accepted, whatever a header says.
_ALGORITHM = "RS256"
_RS256 = JWSRegistry.algorithms[_ALGORITHM]
_MAX_HEADER_CHARS = 1_024


class ShopKeys:
    """Verifies the shop's signatures."""

    def __init__(self, http: aiohttp.ClientSession, settings: SaleorSettings, clock: Clock) -> None:
        self._http = http
        self._url = settings.url.rstrip("/") + _PATH
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_ms / 1000)
        self._ttl_ms = settings.keys_ttl_s * 1000
        self._refresh_ms = settings.keys_refresh_s * 1000
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at_ms = 0
        self._asked_at_ms: int | None = None
        self._asking = asyncio.Lock()

    async def fits(self, signature: str, body: bytes) -> bool:
        """Return whether a detached signature is the shop's, for this body. Raises `Unavailable`.

        One that does not fit may be made with a new key, which need not have a new name: Saleor's is always
        called `1`. So the keys are fetched again, but not more often than the settings say.
        """
        if self._clock() - self._fetched_at_ms > self._ttl_ms:
            await self._fetch()
        if self._keys is None:
            raise Unavailable("the shop's keys are not to be had")
        if _fits(signature, body, self._keys):
            return True
        return await self._fetch() and _fits(signature, body, self._keys)

    async def _fetch(self) -> bool:
        """Ask the shop, unless that was done just now; return whether there are other keys than before."""
        before = self._keys
        async with self._asking:
            if self._keys is not before:
                return True
            now = self._clock()
            if self._asked_at_ms is not None and now - self._asked_at_ms < self._refresh_ms:
                return False
            self._asked_at_ms = now
            try:
                self._keys = await self._ask()
                self._fetched_at_ms = now
            except (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError, JoseError) as error:
                # What was believed goes on being believed: a shop that is away has not changed its keys.
                log.warning(
                    "the shop's keys were not fetched", extra={"url": self._url, "error": repr(error)}
                )
                return False
        return True

    async def _ask(self) -> KeySet:
        answering = self._http.get(self._url, timeout=self._timeout, allow_redirects=False)
        async with answering as answer:
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            read = bytearray()
            async for chunk in answer.content.iter_any():
                read += chunk
                if len(read) > _MAX_KEYS_BYTES:
                    raise ValueError("too large")
        return KeySet.import_key_set(json.loads(read))


def _fits(signature: str, body: bytes, keys: KeySet | None) -> bool:
    """Return whether one of the keys made a signature over the header and the body as it is (RFC 7797).

    Saleor leaves out `crit`, which the RFC wants beside `b64`; whoever sends it may name nothing else in it.
    """
    protected, dot, value = signature.partition("..")
    # The payload has to be the body, never one that the signature brings along.
    if keys is None or not dot or "." in protected or "." in value or len(protected) > _MAX_HEADER_CHARS:
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
