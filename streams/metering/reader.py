"""Records → events: decoding, and refusing what could not be applied safely."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from aiokafka import ConsumerRecord

from metering.runs import MeteredEvent
from metering.windows import is_skewed
from schemas.events import GrantEvent
from schemas.partitioning import partition_of
from schemas.topics import METERED

_DECODERS: dict[str, Callable[[bytes], MeteredEvent | GrantEvent]] = {
    topic.name: msgspec.json.Decoder(topic.event).decode  # type: ignore[misc]
    for topic in METERED
}

#: What a record says, and whether its producer's clock is to be doubted.
Read = tuple[MeteredEvent | GrantEvent, bool]


class Poison(Exception):
    """A record that can never be applied. `reason` is one of a few stable words."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read(record: ConsumerRecord, partitions: int) -> Read:
    """Return a record's event. Raises `Poison`."""
    if not record.value:
        raise Poison("empty_value", "the record has no value")
    try:
        event = _DECODERS[record.topic](record.value)
    except msgspec.ValidationError as error:
        raise Poison("invalid_event", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison("undecodable", str(error)) from error
    if partition_of(event.org_id, partitions) != record.partition:
        raise Poison("wrong_partition", "the record is not on its organisation's partition")
    return event, is_skewed(event.occurred_at_ms, record.timestamp)


def read_all(
    records: Sequence[ConsumerRecord], partitions: int
) -> tuple[list[tuple[ConsumerRecord, Read]], list[tuple[ConsumerRecord, Poison]]]:
    """Return the events of `records`, and the poison among them, each with its record."""
    good: list[tuple[ConsumerRecord, Read]] = []
    bad: list[tuple[ConsumerRecord, Poison]] = []
    for record in records:
        try:
            good.append((record, read(record, partitions)))
        except Poison as poison:
            bad.append((record, poison))
    return good, bad
