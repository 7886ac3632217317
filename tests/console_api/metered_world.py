"""One run's events, charged and stored as the workers charge and store them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec
from aiokafka import ConsumerRecord
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_world import World

from kit.clock import new_id, now_ms
from kit.settings import KafkaSettings
from metering.corrections import corrected_cost
from metering.metered import MeteredRun
from metering.prices import PriceBook, Rates
from metering.runs import MeteredEvent, fold
from metering.totals import totals_of
from schemas import keys, topics
from schemas.events import CorrectionEvent, LedgerEntry, RunEvent, TokenEvent, ToolCallEvent, encode
from schemas.rows import RUNS
from streams import outbox
from streams.warehouse import rollups
from streams.warehouse.rows import rows_of

BOOK = PriceBook(
    version="list-2026-1",
    models={
        "gpt-4o-mini": Rates(
            input=15_000_000,
            cache_read=7_500_000,
            cache_write=15_000_000,
            output=60_000_000,
            reasoning=60_000_000,
        )
    },
    default=Rates(
        input=500_000_000,
        cache_read=250_000_000,
        cache_write=500_000_000,
        output=1_500_000_000,
        reasoning=1_500_000_000,
    ),
    per_run=1_000,
    tools={"calculator": 500},
)
#: Half of everything, for reratings.
CHEAP = msgspec.structs.replace(BOOK, version="list-2026-2", per_run=0, tools={})
_TOPICS = {
    RunEvent: topics.RUNS,
    TokenEvent: topics.TOKENS,
    ToolCallEvent: topics.TOOL_CALLS,
    CorrectionEvent: topics.CORRECTIONS,
}


class Told:
    """The events of one run: two model calls, a tool call between them, and its end."""

    def __init__(self, world: World, run_id: str = "", **whose: object) -> None:
        self.world = world
        self.run_id = run_id or new_id("run")
        self._offsets = count(100)
        self.started_at_ms = now_ms() - 5_000
        self._whose: dict[str, Any] = {
            "tenant_id": world.tenant_id,
            "org_id": world.org_id,
            "instance_id": world.instance_id,
            "run_id": self.run_id,
            "channel": "api",
            "key_id": "key_1",
            "price_version": BOOK.version,
            "started_at_ms": self.started_at_ms,
            **whose,
        }
        self.events: list[MeteredEvent] = [
            self.run("started", 0, model="gpt-4o-mini"),
            self.call(1, 400, seq=1, input_uncached=120, cache_read=30, output=20),
            self.call(1, 900, seq=2, final=True, input_uncached=120, cache_read=30, output=41, reasoning=7),
            self.tool(1, 1_000, tool="calculator", duration_ms=35),
            self.call(2, 1_900, seq=1, final=True, source="estimate", input_uncached=211, output=87),
            self.run(
                "completed",
                2_000,
                model="gpt-4o-mini",
                tokens_in=361,
                tokens_out=128,
                tool_calls=1,
                duration_ms=2_000,
            ),
        ]

    def run(self, status: str, after_ms: int, **fields: object) -> RunEvent:
        return RunEvent(**self._at(after_ms), status=status, **fields)  # type: ignore[arg-type]

    def call(self, number: int, after_ms: int, **fields: object) -> TokenEvent:
        known = {"call_id": f"{self.run_id}-{number}", "model": "gpt-4o-mini", **fields}
        return TokenEvent(**self._at(after_ms), **known)  # type: ignore[arg-type]

    def tool(self, number: int, after_ms: int, **fields: object) -> ToolCallEvent:
        return ToolCallEvent(**self._at(after_ms), tool_call_id=f"{self.run_id}-t{number}", **fields)  # type: ignore[arg-type]

    def correct(self, request_id: str, kind: str, after_ms: int, **fields: object) -> CorrectionEvent:
        return CorrectionEvent(**self._at(after_ms), request_id=request_id, kind=kind, **fields)  # type: ignore[arg-type]

    def _at(self, after_ms: int) -> dict[str, Any]:
        return {**self._whose, "occurred_at_ms": self.started_at_ms + after_ms}

    @property
    def metered(self) -> MeteredRun:
        """The run as the metering worker would store it."""
        state = fold(None, [(event, False) for event in self.events])
        books = {book.version: book for book in (BOOK, CHEAP)}
        amended, charge, adjustments = corrected_cost(state, books)
        return MeteredRun(state, totals_of(amended, charge.micro), adjustments)

    async def publish_books(self) -> None:
        for book in (BOOK, CHEAP):
            await self.world.redis.set(keys.price_book(book.version), msgspec.json.encode(book))

    async def charge(self) -> MeteredRun:
        """Store the run where the metering worker does."""
        await self.publish_books()
        made = self.metered
        key = keys.run(self.world.partition, self.run_id)
        await self.world.redis.set(key, msgspec.msgpack.encode(made))
        return made

    async def forget(self) -> None:
        """Let the metering worker's copy run out."""
        await self.world.redis.delete(keys.run(self.world.partition, self.run_id))

    async def store(self, clickhouse: AsyncClient, events: Sequence[MeteredEvent] | None = None) -> None:
        """Store events, and what the ledger says of the run, where the warehouse worker does."""
        entries = outbox.entries_of(self.metered)
        for event in self.events if events is None else events:
            await self._insert(clickhouse, _TOPICS[type(event)].name, event)
        for entry in entries:
            await self._insert(clickhouse, topics.LEDGER.name, entry)

    async def _insert(self, clickhouse: AsyncClient, topic: str, fact: MeteredEvent | LedgerEntry) -> None:
        record = ConsumerRecord(
            topic, self.world.partition, next(self._offsets), now_ms(), 0, None, encode(fact), None, 0, 0, ()
        )
        made, bad = rows_of([record], KafkaSettings().partitions)
        assert not bad
        for table, rows in made:
            await clickhouse.insert(table.name, rows, column_names=list(table.columns))
            if table is RUNS:
                async for _ in rollups.refresh(clickhouse, rollups.touched(rows)):
                    pass
