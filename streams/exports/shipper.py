"""Delivers a batch as often as it takes, and not when a repeat could count twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kit.clock import Clock
from kit.settings.exports import ExportsSettings
from streams.exports import metrics
from streams.exports.port import Batch, Destination, Item, Refusal, Refused, Unavailable

log = logging.getLogger(__name__)

#: (what went wrong, since when the batch may have arrived) → written down.
Told = Callable[[str, int], Awaitable[None]]


class Shipper:
    """Attempts, waits between them, and what is refused for good."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        settings: ExportsSettings,
        *,
        clock: Clock,
        chance: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name, self._metrics = name, metrics.of(name)
        self._destination = destination
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._sleep = sleep

    async def ship(self, batch: Batch, since_ms: int, told: Told) -> list[Refusal]:
        """Return when the receiver has a batch, all but the records that are returned.

        `since_ms` is when it may have arrived first, by an attempt whose end nobody saw; 0: there was none.
        A batch that is refused as a whole is halved until the record that is why stands alone.
        """
        attempt = 0
        while True:
            if self._too_late(since_ms):
                return [_unknown(item) for item in batch.items]
            began_ms = self._clock()
            try:
                with self._metrics.seconds.time():
                    return await self._destination.deliver(batch)
            except Refused as error:
                if len(batch.items) == 1:
                    return [Refusal(batch.items[0], error.reason, str(error))]
                return [
                    refusal for half in _halves(batch) for refusal in await self.ship(half, since_ms, told)
                ]
            except Unavailable as error:
                self._metrics.failed.inc()
                if error.arrived:
                    since_ms = since_ms or began_ms
                wait_s = max(self._wait_s(attempt), error.retry_after_s)
                log.warning(
                    "the receiver did not take a batch",
                    extra={
                        "destination": self._name,
                        "partition": batch.partition,
                        "offset": batch.first,
                        "wait_s": round(wait_s, 2),
                        "error": str(error),
                    },
                )
                # What is written down is when the next attempt may arrive, if none has.
                await told(str(error), since_ms or self._clock())
                await self._sleep(wait_s)
                attempt += 1

    def _too_late(self, since_ms: int) -> bool:
        limit_ms = self._destination.repeatable_ms
        return bool(limit_ms and since_ms and self._clock() - since_ms > limit_ms)

    def _wait_s(self, attempt: int) -> float:
        longest, shortest = self._settings.retry_max_ms, self._settings.retry_min_ms
        wait_ms = min(longest, shortest * 2 ** min(attempt, 20))
        # So that several workers do not knock in step.
        return wait_ms / 1000 * (0.5 + self._chance() / 2)


def _unknown(item: Item) -> Refusal:
    return Refusal(
        item,
        "outcome_unknown",
        "an attempt may have arrived too long ago for the receiver to know a repeat: look there first, then "
        "replay the dead letter with --not-received if it did not",
    )


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    middle = len(batch.items) // 2
    left, right = batch.items[:middle], batch.items[middle:]
    return (
        Batch(batch.partition, left[0].offset, left[-1].offset, left),
        Batch(batch.partition, right[0].offset, right[-1].offset, right),
    )
