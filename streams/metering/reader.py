"""Records → events: decoding, and refusing what could not be applied safely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import cast

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


@dataclass
class Reads:
    """What a batch of records says: events by run, grants, the price books they name, and the poison."""

    runs: dict[str, list[tuple[MeteredEvent, bool]]] = field(default_factory=dict)
    grants: list[GrantEvent] = field(default_factory=list)
    price_versions: set[str] = field(default_factory=set)
    bad: list[tuple[ConsumerRecord, Poison]] = field(default_factory=list)


def read_all(
    records: Sequence[ConsumerRecord], partitions: int, refused_versions: AbstractSet[str] = frozenset()
) -> Reads:
    """Return what `records` say. Events that name a price book of `refused_versions` are poison too."""
    reads = Reads()
    runs, price_versions = reads.runs, reads.price_versions
    for record in records:
        try:
            event, skewed = read(record, partitions)
            # Not isinstance: structs share a metaclass for which that is ten times slower.
            if type(event) is GrantEvent:
                reads.grants.append(event)
                continue
            event = cast(MeteredEvent, event)
            if event.price_version in refused_versions:
                raise Poison("unknown_price_version", f"no price book {event.price_version!r}")
        except Poison as poison:
            reads.bad.append((record, poison))
            continue
        price_versions.add(event.price_version)
        known = runs.get(event.run_id)
        if known is None:
            runs[event.run_id] = [(event, skewed)]
        else:
            known.append((event, skewed))
    return reads
