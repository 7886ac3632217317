"""Records → events: decoding, and refusing what could not be applied safely."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

import msgspec
from aiokafka import ConsumerRecord

from metering.runs import MeteredEvent
from metering.settling import grant_of
from metering.windows import is_skewed
from schemas.events import CorrectionEvent, GrantEvent
from schemas.partitioning import partition_of
from schemas.topics import METERED

_DECODERS: dict[str, Callable[[bytes], MeteredEvent | GrantEvent]] = {
    topic.name: msgspec.json.Decoder(topic.event).decode  # type: ignore[misc]
    for topic in METERED
}

#: What a record says, and whether its producer's clock is to be doubted.
Read = tuple[MeteredEvent | GrantEvent, bool]


#: Why a record is refused, as letters and metrics have it.
Reason = Literal[
    "empty_value",
    "undecodable",
    "invalid_event",
    "wrong_partition",
    "invalid_command",
    "invalid_correction",
    "unknown_price_version",
    "too_late",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
#: Reasons for which there is no event at all: the warehouse has no row of such a record either.
UNREADABLE = frozenset({"empty_value", "undecodable", "invalid_event", "wrong_partition"})


class Poison(Exception):
    """A record that can never be applied."""

    def __init__(self, reason: Reason, detail: str) -> None:
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


def _check_command(command: GrantEvent, recorded_at_ms: int) -> None:
    """Raise `Poison` for a command that a wallet would refuse."""
    try:
        if command.action == "issue":
            grant_of(command, recorded_at_ms)
        elif command.action == "refund" and not command.amount_micro:
            raise ValueError("a refund takes at least one micro-credit")
        if command.action in ("void", "refund") and not command.command_id:
            raise ValueError("a void or a refund has a command_id of its own")
    except ValueError as error:
        raise Poison("invalid_command", str(error)) from error


def _rerated(correction: CorrectionEvent) -> str:
    """Return the price book that a rerating names, of others nothing. Raises `Poison` if it names none."""
    if correction.kind != "rerate":
        return ""
    if not correction.new_price_version:
        raise Poison("invalid_correction", "a rerate names a new_price_version")
    return correction.new_price_version


@dataclass
class Reads:
    """What a batch of records says: events by run, commands, the price books they name, and the poison."""

    runs: dict[str, list[tuple[MeteredEvent, bool]]] = field(default_factory=dict)
    commands: list[GrantEvent] = field(default_factory=list)
    price_versions: set[str] = field(default_factory=set)
    bad: list[tuple[ConsumerRecord, Poison]] = field(default_factory=list)
    #: Records of runs so old that their state may have been forgotten.
    late: dict[str, list[ConsumerRecord]] = field(default_factory=dict)

    def refuse_forgotten(self, known: Container[str]) -> None:
        """Make poison of what is late and of no known run: it may have been charged already."""
        for run_id, records in self.late.items():
            if run_id not in known:
                self.runs.pop(run_id, None)
                poison = Poison("too_late", "the run's state is no longer kept; correct it with a grant")
                self.bad += [(record, poison) for record in records]


def read_all(
    records: Sequence[ConsumerRecord],
    partitions: int,
    kept_ms: int,
    refused_versions: AbstractSet[str] = frozenset(),
) -> Reads:
    """Return what `records` say. Events that name a price book of `refused_versions` are poison too.

    `kept_ms` is how long a run's state is kept at least.
    """
    reads = Reads()
    runs, price_versions = reads.runs, reads.price_versions
    for record in records:
        try:
            event, skewed = read(record, partitions)
            # Not isinstance: structs share a metaclass for which that is ten times slower.
            if type(event) is GrantEvent:
                _check_command(event, record.timestamp)
                reads.commands.append(event)
                continue
            event = cast(MeteredEvent, event)
            rerated = _rerated(event) if type(event) is CorrectionEvent else ""
            for version in refused_versions and (event.price_version, rerated):
                if version in refused_versions:
                    raise Poison("unknown_price_version", f"no price book {version!r}")
        except Poison as poison:
            reads.bad.append((record, poison))
            continue
        price_versions.add(event.price_version)
        if rerated:
            price_versions.add(rerated)
        if record.timestamp - event.started_at_ms > kept_ms:
            reads.late.setdefault(event.run_id, []).append(record)
        known = runs.get(event.run_id)
        if known is None:
            runs[event.run_id] = [(event, skewed)]
        else:
            known.append((event, skewed))
    return reads
