"""Access tokens, as Redis holds them: by digest, never in clear."""

from __future__ import annotations

import msgspec

from console_api.stores import Stores
from schemas import keys
from schemas.directory import AccessTokenRecord

_decoder = msgspec.json.Decoder(AccessTokenRecord)


async def token_record(stores: Stores, digest: str) -> AccessTokenRecord | None:
    """Return the record of the token with that SHA-256, if there is one. Raises `RedisError`."""
    raw = await stores.redis.get(keys.access_token(digest))
    return _decoder.decode(raw) if raw else None
