"""An organisation as the tests of credits see it: what it does, and what its wallet says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer
from streams_rig import BOOK, Rig
from waiting import PATIENCE_S, eventually

from metering.settling import StoredWallet
from schemas import keys, topics
from schemas.events import GrantEvent, RunEvent, TokenEvent
from schemas.partitioning import partition_of
from schemas.topics import Topic


class Org:
    """One organisation, seen from outside."""

    def __init__(self, rig: Rig, org_id: str) -> None:
        self.rig = rig
        self.id = org_id
        self.partition = partition_of(org_id, rig.kafka.partitions)

    async def command(self, action: str = "issue", grant: str = "g", **fields: Any) -> None:
        known = {"kind": "purchase", "amount_micro": 0, "occurred_at_ms": now()}
        await self.rig.send(
            topics.GRANTS,
            [
                GrantEvent(
                    **{
                        **known,
                        "grant_id": grant,
                        "tenant_id": "t",
                        "org_id": self.id,
                        "action": action,
                        **fields,
                    }
                )
            ],
        )

    def whose(self, run: str, started_at_ms: int = 0) -> dict[str, Any]:
        at_ms = now()
        return {
            "tenant_id": "t",
            "org_id": self.id,
            "instance_id": f"inst-{self.id}",
            "run_id": f"{self.id}-{run}",
            "channel": "api",
            "price_version": BOOK.version,
            "started_at_ms": started_at_ms or at_ms,
            "occurred_at_ms": at_ms,
        }

    async def use(
        self, run: str, output: int, *, seq: int = 1, final: bool = False, started_at_ms: int = 0
    ) -> None:
        """One model call has used so much so far: 100 tokens in at 1, its output at 4 micro-credits."""
        event = TokenEvent(
            **self.whose(run, started_at_ms),
            call_id=run,
            seq=seq,
            model="m",
            input_uncached=100,
            output=output,
            final=final,
        )
        await self.rig.send(topics.TOKENS, [event])

    async def close(self, run: str) -> None:
        await self.rig.send(topics.RUNS, [RunEvent(**self.whose(run), status="completed", model="m")])

    async def hold(self, run: str, micro: int) -> None:
        """What an admission does."""
        redis, p, run_id = self.rig.redis, self.partition, f"{self.id}-{run}"
        await redis.hset(keys.holds(p, self.id), run_id, micro)
        await redis.hincrby(keys.held_by_instance(p, self.id), f"inst-{self.id}", micro)
        await redis.hincrby(keys.wallet(p, self.id), "held", micro)
        await redis.sadd(keys.running(p, f"inst-{self.id}"), run_id)

    async def wallet(self) -> dict[str, int]:
        fields = await self.rig.redis.hgetall(keys.wallet(self.partition, self.id))
        return {name.decode(): int(value) for name, value in fields.items() if name != b"schedule"}

    async def stored(self) -> StoredWallet:
        blob = await self.rig.redis.get(keys.wallet_state(self.partition, self.id))
        return msgspec.msgpack.decode(blob, type=StoredWallet)

    async def has(self, what: str, **expected: int) -> None:
        """Wait until the wallet's fields are these, and see that they add up."""
        last: dict[str, int] = {}

        async def reached() -> bool:
            last.update(await self.wallet())
            return {name: last.get(name, 0) for name in expected} == expected

        try:
            await eventually(reached, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}") from None
        gone = last["charged"] + last["expired"] + last["voided"] + last["refunded"]
        assert last["balance"] == last["granted"] - gone


def now() -> int:
    return time.time_ns() // 1_000_000


async def read(rig: Rig, topic: Topic, org_id: str, enough: Any) -> list[Any]:
    """Return an organisation's records of a topic, once `enough` says so."""
    consumer = AIOKafkaConsumer(
        topic.name, bootstrap_servers=rig.kafka.bootstrap, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    found: list[Any] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not enough(found):
                event = msgspec.json.decode((await consumer.getone()).value, type=topic.event)
                if getattr(event, "org_id", org_id) == org_id:
                    found.append(event)
    finally:
        await consumer.stop()
    return found
