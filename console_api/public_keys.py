"""Somebody's public keys (JWKS): fetched when needed, believed for a while, and not asked for too often."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

import aiohttp
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from kit.clock import Clock

log = logging.getLogger(__name__)

_MAX_BYTES = 65_536


class KeysAway(Exception):
    """The keys are not to be had, and never were."""


@dataclass(frozen=True)
class Patience:
    """How long one fetch may take, how long keys are believed, and how far apart two fetches are at least."""

    timeout_ms: int
    ttl_s: int
    refresh_s: int


class PublicKeys:
    """The keys behind a URL; with `discovery`, behind the `jwks_uri` of the document that the URL names."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        patience: Patience,
        clock: Clock,
        *,
        issuer: str = "",
    ) -> None:
        """`issuer`: the URL is of an OpenID discovery document, which must be that issuer's."""
        self._http = http
        self._url = url
        self._issuer = issuer
        self._timeout = aiohttp.ClientTimeout(total=patience.timeout_ms / 1000)
        self._ttl_ms = patience.ttl_s * 1000
        self._refresh_ms = patience.refresh_s * 1000
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at_ms = 0
        self._asked_at_ms: int | None = None
        self._asking = asyncio.Lock()

    async def current(self) -> KeySet:
        """Return the keys. Raises `KeysAway`; keys that are only old go on being believed meanwhile."""
        if self._keys is None or self._clock() - self._fetched_at_ms > self._ttl_ms:
            await self.renew()
        if self._keys is None:
            raise KeysAway
        return self._keys

    async def renew(self) -> bool:
        """Fetch them, unless that was tried just now; return whether they may be others than before."""
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
                # Whoever is away has not changed their keys.
                log.warning("public keys were not fetched", extra={"url": self._url, "error": repr(error)})
                return False
        return True

    async def _ask(self) -> KeySet:
        url = self._url
        if self._issuer:
            document = await self._json(url)
            # OpenID Connect Discovery 1.0, 4.3: else any host could speak for any issuer.
            if document["issuer"].rstrip("/") != self._issuer.rstrip("/"):
                raise ValueError("the discovery document is another issuer's")
            url = document["jwks_uri"]
        return KeySet.import_key_set(await self._json(url))

    async def _json(self, url: str) -> Any:
        async with self._http.get(url, timeout=self._timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            read = bytearray()
            async for chunk in answer.content.iter_any():
                read += chunk
                if len(read) > _MAX_BYTES:
                    raise ValueError("too large")
        return json.loads(read)
