"""Poison goes to `usage.dead_letters` with its coordinates, the reason and its original bytes.

Sent before the batch it came from is applied: a crash in between sends it twice, never loses it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord
from msgspec import Struct

from kit import metrics
from kit.clock import Clock
from kit.metrics import registry
from schemas import topics
from schemas.events import DeadLetter, encode

log = logging.getLogger(__name__)

#: The share of poison is judged over this many records.
_WINDOW = 1_000


class _OfRun(Struct):
    run_id: str = ""


class TooMuchPoison(Exception):
    """So many records are unreadable that something is wrong upstream, not in them."""


class DeadLetters:
    """Collects a batch's poison and sends it; stops the worker when there is too much of it.

    `role` and each of its `reasons` is a label of the counter, which is there before the first letter.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        worker: str,
        clock: Clock,
        max_permille: int,
        *,
        role: str,
        reasons: Iterable[str],
    ) -> None:
        self._producer = producer
        self._worker = worker
        self._clock = clock
        self._limit = max_permille
        self._role = role
        self._counted = metrics.counter(registry.DEAD_LETTERS)
        for reason in reasons:
            self._counted.labels(role, reason)
        self._recent: deque[bool] = deque(maxlen=_WINDOW)
        self.sent = 0

    def letter(self, record: ConsumerRecord, reason: str, detail: str) -> DeadLetter:
        """Return the dead letter of a record."""
        return DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
            detail=detail[:512],
            worker=self._worker,
            recorded_at_ms=self._clock(),
            key=record.key,
            value=record.value,
        )

    async def send(self, letters: list[DeadLetter], good: int, poison: int | None = None) -> None:
        """Send a batch's dead letters and return when Kafka has them.

        `good` records have no letter. `poison` says how many of the letters are of unreadable records, where
        others are of records that were understood and are not wanted; without it all are.
        Raises `TooMuchPoison` when more than the limit of the last 1,000 records was poison.
        """
        unreadable = len(letters) if poison is None else poison
        self._recent.extend([False] * min(good + len(letters) - unreadable, _WINDOW))
        self._recent.extend([True] * min(unreadable, _WINDOW))
        for letter in letters:
            log.warning(
                "dead letter",
                extra={
                    "topic": letter.topic,
                    "partition": letter.partition,
                    "offset": letter.offset,
                    "reason": letter.reason,
                    **_run_of(letter.value),
                },
            )
        if letters:
            await asyncio.gather(*[await self._post(letter) for letter in letters])
            self.sent += len(letters)
            for letter in letters:
                self._counted.labels(self._role, label_of(letter.reason)).inc()
        if len(self._recent) == _WINDOW and sum(self._recent) * 1_000 > self._limit * _WINDOW:
            raise TooMuchPoison(f"over {self._limit} of the last {_WINDOW} records were unreadable")

    async def _post(self, letter: DeadLetter) -> asyncio.Future[object]:
        return await self._producer.send(
            topics.DEAD_LETTERS.name, encode(letter), key=letter.key, partition=letter.partition
        )


def label_of(reason: str) -> str:
    """Return the label that a reason is counted under: a receiver's statuses are `status_4xx`."""
    return f"{reason[:8]}xx" if reason.startswith("status_") else reason


def _run_of(value: bytes | None) -> dict[str, str]:
    """Return the run that a refused record is about, as far as it can be read."""
    try:
        run_id = msgspec.json.decode(value or b"", type=_OfRun).run_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {"run_id": run_id[:64]} if run_id else {}
