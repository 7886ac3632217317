"""The state of one partition in Redis, and the one script that changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from metering.metered import MeteredRun
from metering.settling import StoredWallet
from schemas import keys
from schemas.topics import METERED

_SCRIPT = (Path(__file__).parent / "apply.lua").read_text()

#: `[[counter name, delta], …]` flattened: what HINCRBY takes.
Increments = list[str | int]


class Spent(Struct, array_like=True, gc=False):
    """What one run took from its wallet, out of its hold first; a closed run gives back what it held."""

    run_id: str
    instance_id: str
    micro: str
    closed: bool


class WalletWrite(Struct, array_like=True):
    """A wallet as it will stand. `state_length` is its share of the wallets' bytes; `due_ms` 0 is never."""

    org_id: str
    fields: list[str]
    state_length: int
    due_ms: int
    balance: str
    version: str
    commands: list[str]
    spent: list[Spent]


class Plan(Struct):
    """Every effect of one batch, ready for the script. Amounts are strings: Lua numbers are floats."""

    #: What the keys of the partition begin with, by what they hold.
    keys: dict[str, str]
    fences: list[tuple[str, str, str]]
    run_ttl: int
    #: (run id, length of its state) of each run, in the order of their states.
    runs: list[tuple[str, int]]
    counters: list[tuple[str, int, Increments]]
    wallets: list[WalletWrite]
    limit_channel: str


class Effects(Struct):
    """A plan with the bytes it writes: the outbox entry (empty when there is none), run and wallet states."""

    plan: Plan
    outbox: bytes
    states: bytes
    wallets: bytes


class Position(Struct):
    """Where a partition stands: how often it was changed, and each topic's fence."""

    seq: int
    fences: dict[str, int]


class FenceMissing(Exception):
    """Redis does not know how far a topic was applied: nothing may be charged until that is settled."""


class PartitionTorn(Exception):
    """A script failed half-way: the partition's state is to be rebuilt before anything else is charged."""


class PartitionStore:
    """Reads and writes the partitions' state. Raises `redis.RedisError` when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._apply = redis.register_script(_SCRIPT)
        self._decode = msgspec.msgpack.Decoder(MeteredRun).decode
        self._decode_wallet = msgspec.msgpack.Decoder(StoredWallet).decode
        self._encode = msgspec.msgpack.Encoder().encode

    async def position(self, partition: int) -> Position:
        """Return the partition's seq and fences. Raises `FenceMissing`."""
        names = [topic.name for topic in METERED]
        found: list[Any] = await self._redis.mget(
            [keys.outbox_sequence(partition), *(keys.fence(partition, name) for name in names)]
        )
        missing = [name for name, fence in zip(names, found[1:], strict=True) if fence is None]
        if missing:
            raise FenceMissing(f"partition {partition} has no fence for {', '.join(missing)}")
        fences = {name: int(fence) for name, fence in zip(names, found[1:], strict=True)}
        return Position(int(found[0] or 0), fences)

    async def create_fences(self, partition: int, topic_names: Iterable[str]) -> None:
        """Create fences at 0 for topics that never held a record. An existing fence is left alone."""
        async with self._redis.pipeline(transaction=True) as pipe:
            for name in topic_names:
                pipe.set(keys.fence(partition, name), 0, nx=True)
            await pipe.execute()

    async def runs(self, partition: int, run_ids: list[str]) -> Mapping[str, MeteredRun]:
        """Return the stored ones of these runs."""
        if not run_ids:
            return {}
        blobs: list[Any] = await self._redis.mget([keys.run(partition, run_id) for run_id in run_ids])
        decode = self._decode
        return {run_id: decode(blob) for run_id, blob in zip(run_ids, blobs, strict=True) if blob}

    async def wallets(self, partition: int, org_ids: list[str]) -> Mapping[str, StoredWallet]:
        """Return the stored ones of these organisations' wallets."""
        if not org_ids:
            return {}
        blobs: list[Any] = await self._redis.mget([keys.wallet_state(partition, o) for o in org_ids])
        decode = self._decode_wallet
        return {org_id: decode(blob) for org_id, blob in zip(org_ids, blobs, strict=True) if blob}

    async def applied_commands(self, partition: int, commands: Iterable[tuple[str, str]]) -> set[str]:
        """Return those of the `(org, command id)` pairs' ids that their wallets had applied."""
        wanted = list(commands)
        if not wanted:
            return set()
        async with self._redis.pipeline(transaction=False) as pipe:
            for org_id, command_id in wanted:
                pipe.sismember(keys.wallet_grants(partition, org_id), command_id)
            found = await pipe.execute()
        return {command_id for (_, command_id), known in zip(wanted, found, strict=True) if known}

    async def apply(self, partition: int, seq: int, effects: Effects) -> bool:
        """Write the effects if the partition is still where they were computed. Return whether it was.

        Raises `PartitionTorn` when an earlier call wrote only a part.
        """
        # One argument for all states: the client spends longer on an argument than the server on a state.
        args: list[int | bytes] = [
            seq,
            self._encode(effects.plan),
            effects.outbox,
            effects.states,
            effects.wallets,
        ]
        reply = cast(list[Any], await self._apply(keys=[keys.outbox_sequence(partition)], args=args))
        if reply[0] == b"torn":
            raise PartitionTorn(
                f"partition {partition} is torn since seq {reply[1]!r}: run `runmeter rebuild`"
            )
        return bool(reply[0] == b"ok")
