"""`runmeter exports replay`: deliver again from a point, or what became dead letters.

It runs beside the exporter and leaves its progress alone: what the exporter has delivered is sent once more,
under the same ids and, where files are cut, with the same cuts. The exporter does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kit.clock import Clock
from kit.settings import KafkaSettings
from kit.settings.exports import Destination as DestinationSettings
from streams.exports import ranges
from streams.exports.port import Batch, Destination, Item, Refusal
from streams.exports.ranges import Span
from streams.exports.reading import items_of
from streams.exports.shipper import Shipper


class CannotReplay(Exception):
    """A replay could count twice, or has nothing to begin with; the text says what to do."""


@dataclass
class Outcome:
    """What a replay did."""

    delivered: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    #: Records that cannot be read: they are dead letters already.
    unreadable: int = 0


@dataclass(frozen=True)
class Replay:
    """One destination, and how it is delivered to."""

    kafka: KafkaSettings
    name: str
    settings: DestinationSettings
    destination: Destination
    shipper: Shipper
    clock: Clock
    #: The operator looked: the receiver does not have what is replayed.
    not_received: bool = False

    async def since(self, from_ms: int) -> Outcome:
        """Deliver what was recorded at `from_ms` or later, up to where the exporter is.

        Raises `CannotReplay` and `KafkaError`.
        """
        done = await ranges.committed(self.kafka, self.name)
        if not done:
            raise CannotReplay(f"{self.name} never took anything: start its exporter, which begins itself")
        self._check(from_ms)
        outcome = Outcome()
        for partition, (begins, _) in (await ranges.bounds(self.kafka, from_ms)).items():
            end = done[partition][0] if partition in done else 0
            spans = await self.destination.spans(partition)
            first = min([begins, *(s for s, last in spans if s <= begins <= last)])
            if first < end:
                await self._partition(partition, first, end, spans, outcome)
        return outcome

    async def dead_letters(self, reason: str) -> Outcome:
        """Deliver the destination's dead letters. Raises `CannotReplay` and `KafkaError`."""
        outcome = Outcome()
        async for item in ranges.refused(self.kafka, self.name, reason):
            self._check(item.record.recorded_at_ms)
            await self._ship(Batch(0, item.offset, item.offset, [item]), outcome)
        return outcome

    def _check(self, oldest_ms: int) -> None:
        known_ms = self.destination.repeatable_ms
        if known_ms and not self.not_received and self.clock() - oldest_ms > known_ms:
            raise CannotReplay(
                f"{self.name} knows an id again for {known_ms / 3_600_000:.0f} h only, and would count twice "
                "what it got before: begin later, or say --not-received if it has none of it"
            )

    async def _partition(
        self, partition: int, first: int, end: int, spans: Sequence[Span], outcome: Outcome
    ) -> None:
        cuts = _cuts(first, end, spans, self.settings.max_records)
        low, last = next(cuts)
        waiting: list[Item] = []
        async for some in ranges.records(self.kafka, partition, first, end):
            items, bad = items_of(some, self.settings.tenants)
            outcome.unreadable += len(bad)
            waiting += items
            reached = some[-1].offset if some else low - 1
            while reached >= last:
                now = [item for item in waiting if item.offset <= last]
                waiting = waiting[len(now) :]
                await self._ship(Batch(partition, low, last, now), outcome)
                low, last = next(cuts, (end, end))
                if low == end:
                    return

    async def _ship(self, batch: Batch, outcome: Outcome) -> None:
        if not batch.items:
            return

        async def told(_error: str, _since_ms: int) -> None:
            """The operator sees the log."""

        refusals = await self.shipper.ship(batch, 0, told)
        outcome.refusals += refusals
        outcome.delivered += len(batch.items) - len(refusals)


def _cuts(first: int, end: int, spans: Sequence[Span], max_records: int) -> Iterator[Span]:
    """Yield ranges that cover `first` … `end - 1`: those that are there, and new ones between them."""
    at = first
    starts = dict(spans)
    while at < end:
        if at in starts and starts[at] < end:
            last = starts[at]
        else:
            following = min([start for start in starts if start > at], default=end)
            last = min(at + max_records, following, end) - 1
        yield at, last
        at = last + 1
