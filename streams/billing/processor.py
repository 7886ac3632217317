"""One partition's ledger entries → billing records, each once for whoever reads by id.

Order of effects, and what a crash in each gap costs:
  1. look up what was billed of the batch's runs, at a known place of the index
  2. send the records, which Kafka acknowledges — crash before or within: the next owner brings the index up
     to the end of `billing.records`, which says after which ledger entry to go on
  3. move the index — crash before: the same

A worker that lost its partition may still have a record on its way. Records are a function of the log, so the
new owner writes the same one again at worst: same id, same content.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord
from redis.exceptions import RedisError

from kit.settings import KafkaSettings
from schemas.billing import BillingRecord
from schemas.events import LedgerEntry, encode
from schemas.topics import BILLING
from streams.batches import PartitionBatch
from streams.billing.index import Index, Place
from streams.billing.log import records_from
from streams.billing.records import Billed, billed, derive

log = logging.getLogger(__name__)

Seek = Callable[[str, int, int], Awaitable[None]]

_RETRY_S = (0.1, 0.25, 0.5, 1.0, 2.0)
_decode = msgspec.json.Decoder(LedgerEntry).decode


class Billing:
    """Derives and sends billing records. `places` is how far each owned partition is billed."""

    def __init__(self, index: Index, producer: AIOKafkaProducer, kafka: KafkaSettings, seek: Seek) -> None:
        self._index = index
        self._producer = producer
        self._kafka = kafka
        self._seek = seek
        self.places: dict[int, Place] = {}
        #: Partitions whose batch waits for Redis.
        self.waiting: set[int] = set()

    async def catch_up(self, partition: int) -> Place:
        """Bring the index to the end of `billing.records`; return where the ledger is to be read on."""
        while True:
            place = await self._index.place(partition)
            moved = True
            async for end, records in records_from(self._kafka, partition, place.records):
                # A record below the fence is a copy: its writer had lost the partition.
                new = [record for record in records if record.ledger_offset >= place.ledger]
                reached = max([place.ledger, *(record.ledger_offset + 1 for record in new)])
                to = Place(reached, end)
                moved = await self._index.move(
                    partition, place.ledger, to, {r.run_id: billed(r) for r in new}
                )
                if not moved:
                    break
                place = to
            if moved:
                self.places[partition] = place
                return place

    async def begin_at(self, partition: int, first: int) -> None:
        """Begin a partition of which nothing was billed with the first ledger entry that is still kept."""
        place = self.places[partition]
        to = Place(first, place.records)
        if await self._index.move(partition, place.ledger, to, {}):
            self.places[partition] = to

    async def handle(self, partition: int, batches: list[PartitionBatch]) -> None:
        """Bill batches; return when their records are in Kafka and the index knows them, or they are stale.

        Raises `KafkaError` for a send whose outcome is unknown: the worker is to end, and to start by reading
        the log back.
        """
        attempt = 0
        while True:
            try:
                done = await self._attempt(partition, batches)
                self.waiting.discard(partition)
                if done:
                    return
                # Redis went back in time, or somebody else moved the index: the log says how far it went.
                place = await self.catch_up(partition)
                log.warning("the index was behind", extra={"partition": partition, "ledger": place.ledger})
            except RedisError as error:
                log.warning("Redis is away", extra={"partition": partition, "error": repr(error)})
                self.waiting.add(partition)
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1

    async def _attempt(self, partition: int, batches: list[PartitionBatch]) -> bool:
        place = self.places.get(partition)
        if place is None:
            return True
        records, end = await self._cut(place, batches)
        if end == place.ledger:
            return True
        entries = _entries(records)
        seen, known = await self._index.look_up(partition, {e.run.run_id for e, _ in entries if e.run})
        if seen != place:
            return False
        made, latest = _derived(entries, known)
        reached = await self._send(partition, made) if made else place.records
        to = Place(end, max(reached, place.records))
        if not await self._index.move(partition, place.ledger, to, latest):
            return False
        self.places[partition] = to
        return True

    async def _cut(self, place: Place, batches: list[PartitionBatch]) -> tuple[list[ConsumerRecord], int]:
        """Return the records beyond the place and the offset after them; go back where some are missing."""
        records: list[ConsumerRecord] = []
        reached = place.ledger
        for batch in batches:
            if batch.next_offset <= reached:
                continue
            if batch.position > reached:
                if reached == place.ledger:
                    await self._seek(batch.topic, batch.partition, reached)
                break
            records += [record for record in batch.records if record.offset >= reached]
            reached = batch.next_offset
        return records, reached

    async def _send(self, partition: int, made: Sequence[BillingRecord]) -> int:
        """Send records and return the offset after them, when Kafka has them."""
        sent = [
            await self._producer.send(
                BILLING.name, encode(record), key=record.org_id.encode(), partition=partition
            )
            for record in made
        ]
        return max([metadata.offset for metadata in await asyncio.gather(*sent)]) + 1


def _entries(records: Sequence[ConsumerRecord]) -> list[tuple[LedgerEntry, ConsumerRecord]]:
    found = []
    for record in records:
        try:
            found.append((_decode(record.value or b""), record))
        except (msgspec.DecodeError, UnicodeDecodeError):
            # The warehouse worker sends the ledger's dead letters: one letter per record is enough.
            log.warning("no ledger entry", extra={"partition": record.partition, "offset": record.offset})
    return found


def _derived(
    entries: Sequence[tuple[LedgerEntry, ConsumerRecord]], known: dict[str, Billed]
) -> tuple[list[BillingRecord], dict[str, Billed]]:
    """Return the records that entries make, in order, and the latest of each run."""
    made: list[BillingRecord] = []
    latest: dict[str, Billed] = {}
    for entry, source in entries:
        if entry.run is None:
            continue
        run_id = entry.run.run_id
        record = derive(latest.get(run_id, known.get(run_id)), entry, source.offset, source.timestamp)
        if record is not None:
            made.append(record)
            latest[run_id] = billed(record)
    return made, latest
