"""Who an organisation is to Stripe: the file's word first, then, if it says so, the control plane's.

What is not projected is not remembered: a customer may come a moment after the first run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit import projections
from schemas import keys
from schemas.directory import CustomerRecord
from streams.exports.port import Unavailable

_PROVIDER = "stripe"
_decode = msgspec.json.Decoder(CustomerRecord).decode


class Customers(Protocol):
    """Customers by organisation."""

    async def of(self, org_id: str) -> str:
        """Return the customer an organisation is, empty if it is none. Raises `Unavailable`."""

    async def close(self) -> None:
        """Close the connections."""


class NamedCustomers:
    """Those of the file, and no others."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = named

    async def of(self, org_id: str) -> str:
        return self._named.get(org_id, "")

    async def close(self) -> None:
        """Nothing is open."""


class ProjectedCustomers:
    """Those of the file, and whom the control plane's checkouts made customers. The client is closed here."""

    def __init__(self, named: Mapping[str, str], redis: Redis) -> None:
        self._named = named
        self._redis = redis

    async def of(self, org_id: str) -> str:
        if customer := self._named.get(org_id):
            return customer
        try:
            found = await projections.get(self._redis, keys.customer(_PROVIDER, org_id))
        except projections.NotProjectedYet as error:
            text = "the control plane has not told Redis its customers yet; is the console API up?"
            raise Unavailable(text, arrived=False) from error
        except (RedisError, OSError, TimeoutError) as error:
            text = f"Redis did not say who is a customer ({type(error).__name__}); check RUNMETER_REDIS_URL"
            raise Unavailable(text, arrived=False) from error
        return _decode(found).customer_ref if found else ""

    async def close(self) -> None:
        await self._redis.aclose()
