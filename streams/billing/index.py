"""What was billed so far, in Redis: an index of `billing.records`, and no more than that.

The topic is the truth. Two fences say how far the index goes: the next ledger offset, and the next offset of
`billing.records` that it does not know. Whatever Redis lost, down to all of it, is read again from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from schemas import keys
from schemas.topics import BILLING, DAY_MS, LEDGER
from streams.billing.records import Billed

_SCRIPT = (Path(__file__).parent / "index.lua").read_text()

#: Longer than any run can still change: the metering worker refuses events of runs older than 14 days.
_KEEP_S = 2 * BILLING.retention_ms // 1_000
assert _KEEP_S * 1_000 > 14 * DAY_MS

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Billed).decode


class Place(Struct, frozen=True):
    """How far the index of a partition goes: the next offset of each topic."""

    ledger: int
    records: int


class Index:
    """The index of all partitions. Raises `redis.RedisError` when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(_SCRIPT)

    async def place(self, partition: int) -> Place:
        """Return how far a partition's index goes."""
        found: list[Any] = await self._redis.mget(_fences(partition))
        return Place(int(found[0] or 0), int(found[1] or 0))

    async def look_up(self, partition: int, run_ids: Iterable[str]) -> tuple[Place, dict[str, Billed]]:
        """Return how far the index goes and what it knows of these runs, both at one moment."""
        wanted = list(run_ids)
        names = [*_fences(partition), *(keys.billed(partition, run_id) for run_id in wanted)]
        # One command is one moment, and all of a partition's keys are on one node.
        found: list[Any] = await self._redis.mget(names)
        place = Place(int(found[0] or 0), int(found[1] or 0))
        blobs = zip(wanted, found[2:], strict=True)
        return place, {run_id: _decode(blob) for run_id, blob in blobs if blob}

    async def move(
        self, partition: int, expected_ledger: int, to: Place, latest: Mapping[str, Billed]
    ) -> bool:
        """Remember runs' latest records and move the fences; return whether the index was as expected."""
        names = [*_fences(partition), *(keys.billed(partition, run_id) for run_id in latest)]
        blobs = [_encode(billed) for billed in latest.values()]
        args: list[Any] = [expected_ledger, to.ledger, to.records, _KEEP_S, *blobs]
        return bool(cast(int, await self._script(keys=names, args=args)))


def _fences(partition: int) -> list[str]:
    return [keys.fence(partition, LEDGER.name), keys.fence(partition, BILLING.name)]
