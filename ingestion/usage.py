"""What an ingestion used, as a run: it shows where runs show, and is charged as they are.

One run of channel `console` for each version of a source, at the prices in force when it was asked for: one
model call, the tokens embedded by the embedding model, and one call of the tool `knowledge_pages` for each
`PAGES_PER_CALL` pages begun. All ids are functions of the request, so telling it again, by whatever worker,
changes nothing. What fails is charged what it used until then, which is nothing before it is embedded.

An instance that is not active, or cannot pay, is refused before anything is fetched; what was parsed has a
price, and is refused by that before the first of it is embedded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
from redis.asyncio import Redis

from ingestion.credits import payable
from ingestion.errors import SourceFailed
from kit import projections
from kit.clock import Clock
from kit.publisher import Publisher
from metering.price_schedule import PriceSchedule, version_at
from metering.prices import PriceBook, worst_case
from schemas import keys, topics
from schemas.directory import InstanceRecord
from schemas.events import RunEvent, TokenEvent, ToolCallEvent
from schemas.ingestion import IngestionRequest
from schemas.partitioning import partition_of

#: What price books call pages, and how many one call of it stands for.
PAGES_TOOL = "knowledge_pages"
PAGES_PER_CALL = 50

_CAPPED = (
    "The instance's daily or monthly cap on spending leaves too little for it; raise the cap, or wait until "
    "the day or month is over, and have it read again."
)


@dataclass
class Used:
    """What an attempt used so far."""

    model: str = ""
    tokens: int = 0
    pages: int = 0


class Usage(Protocol):
    """Where usage goes."""

    async def check(self, request: IngestionRequest, expected: Used) -> None:
        """Raise `SourceFailed` when the instance may not use that much, or could not be charged for it.

        Raises `NotProjectedYet` when it cannot be told now.
        """

    async def publish(self, request: IngestionRequest, used: Used, error_code: str = "") -> None:
        """Return when the usage is durable; with an error code it is that of an attempt that failed."""


class MeteredUsage:
    """Usage on the topics that the metering worker reads."""

    def __init__(self, redis: Redis, publisher: Publisher, partitions: int, clock: Clock) -> None:
        self._redis = redis
        self._publisher = publisher
        self._partitions = partitions
        self._clock = clock

    async def check(self, request: IngestionRequest, expected: Used) -> None:
        version = await self._version(request)
        price = await self._price(version, expected, _page_calls(expected))
        blob = await projections.get(self._redis, keys.instance(request.instance_id))
        instance = msgspec.json.decode(blob, type=InstanceRecord) if blob else None
        if instance is None or instance.status in ("suspended", "ended"):
            raise SourceFailed("instance_inactive")
        found = await payable(
            self._redis,
            partition_of(request.org_id, self._partitions),
            instance,
            started_at_ms=request.requested_at_ms,
            now_ms=self._clock(),
        )
        # What is free needs no credits, whatever the debt.
        if price > max(0, found.micro):
            raise SourceFailed("no_credits", _CAPPED if found.limit == "cap" else "")

    async def publish(self, request: IngestionRequest, used: Used, error_code: str = "") -> None:
        run_id = run_id_of(request)
        version = await self._version(request)
        owner: dict[str, Any] = {
            "tenant_id": request.tenant_id,
            "org_id": request.org_id,
            "instance_id": request.instance_id,
            "run_id": run_id,
            "channel": "console",
            "price_version": version,
            "started_at_ms": request.requested_at_ms,
        }
        now = max(self._clock(), request.requested_at_ms)
        call = TokenEvent(
            **owner,
            occurred_at_ms=now,
            call_id=f"{run_id}_embed",
            seq=1,
            model=used.model,
            input_uncached=used.tokens,
            final=True,
        )
        pages = [
            ToolCallEvent(**owner, occurred_at_ms=now, tool_call_id=f"{run_id}_pages{n}", tool=PAGES_TOOL)
            for n in range(_page_calls(used))
        ]
        started = RunEvent(
            **owner, occurred_at_ms=request.requested_at_ms, status="started", model=used.model
        )
        status: Literal["failed", "completed"] = "failed" if error_code else "completed"
        ended = RunEvent(
            **owner,
            occurred_at_ms=now,
            status=status,
            model=used.model,
            tokens_in=used.tokens,
            tool_calls=len(pages),
            duration_ms=now - request.requested_at_ms,
            credits_micro=await self._price(version, used, len(pages)),
            error_code=error_code,
        )
        await self._publisher.publish(topics.RUNS, request.org_id, started)
        await self._publisher.publish(topics.TOKENS, request.org_id, call)
        for page in pages:
            await self._publisher.publish(topics.TOOL_CALLS, request.org_id, page)
        await self._publisher.publish(topics.RUNS, request.org_id, ended)

    async def _version(self, request: IngestionRequest) -> str:
        blob = await projections.get(self._redis, keys.price_schedule(request.tenant_id))
        schedule = msgspec.json.decode(blob, type=PriceSchedule) if blob else PriceSchedule()
        version = version_at(schedule, request.requested_at_ms)
        if version is None:
            raise SourceFailed("no_prices")
        return version

    async def _price(self, version: str, used: Used, page_calls: int) -> int:
        blob = await projections.get(self._redis, keys.price_book(version))
        if blob is None:
            raise SourceFailed("no_prices")
        book = msgspec.json.decode(blob, type=PriceBook)
        fee = book.tools.get(PAGES_TOOL, book.per_tool_call)
        return worst_case(book, used.model, used.tokens, 0) + page_calls * fee


def _page_calls(used: Used) -> int:
    return -(-used.pages // PAGES_PER_CALL)


def run_id_of(request: IngestionRequest) -> str:
    """Return the id of the run that a request is charged as."""
    return f"run_{request.source_id}_v{request.version}"
