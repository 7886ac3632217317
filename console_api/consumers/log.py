"""What Kafka says of topics and groups."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.structs import OffsetAndMetadata

from kit import kafka_access
from kit.settings import KafkaSettings

#: How long the broker may take to say when records were appended: without times it is an answer, too.
_TIMES_WITHIN_S = 1.0
_POLL_MS = 300
_FETCH_BYTES = 16_384
_STOP_WITHIN_S = 2.0


@dataclass(frozen=True)
class Group:
    """A group's members, who has which partition, and what it committed."""

    members: int
    owners: Mapping[TopicPartition, str]
    commits: Mapping[TopicPartition, OffsetAndMetadata]


@dataclass(frozen=True)
class Bounds:
    """The first offset that is kept of a partition, and the one that the next record will get."""

    first: int
    end: int


@dataclass
class Times:
    """When the record before a position was appended, and the one at it. 0: none, or not known."""

    applied_at_ms: int = 0
    waiting_since_ms: int = 0


@asynccontextmanager
async def admin_of(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka_access.options(kafka), request_timeout_ms=5_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def reader_of(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    reader = AIOKafkaConsumer(
        **kafka_access.options(kafka),
        group_id=None,
        enable_auto_commit=False,
        request_timeout_ms=5_000,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    try:
        await reader.start()
        yield reader
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN_S):
                await reader.stop()


async def names(admin: AIOKafkaAdminClient) -> set[str]:
    """Return the names of all groups that Kafka knows."""
    return {name for name, *_ in await admin.list_consumer_groups()}


async def group(admin: AIOKafkaAdminClient, name: str) -> Group:
    """Return a group; one that nobody ever joined is empty."""
    (described,) = (await admin.describe_consumer_groups([name]))[0].to_object()["groups"]
    owners: dict[TopicPartition, str] = {}
    for member in described["members"]:
        for place in _owned(member["member_assignment"]):
            owners[place] = member.get("group_instance_id") or member["client_id"]
    commits = await admin.list_consumer_group_offsets(name)
    return Group(len(described["members"]), owners, commits)


def _owned(assignment: bytes) -> Iterable[TopicPartition]:
    if not assignment:
        return []
    decoded = ConsumerProtocolMemberAssignment.decode(assignment)
    return [TopicPartition(topic, place) for topic, places in decoded.assignment for place in places]


async def bounds(reader: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> dict[TopicPartition, Bounds]:
    wanted = list(places)
    first, end = await reader.beginning_offsets(wanted), await reader.end_offsets(wanted)
    return {place: Bounds(first[place], end[place]) for place in wanted}


async def times(
    reader: AIOKafkaConsumer,
    positions: Mapping[TopicPartition, int],
    known: Mapping[TopicPartition, Bounds],
) -> dict[TopicPartition, Times]:
    """Return when the records around each position were appended, as far as the broker says so soon."""
    found = {place: Times() for place in positions}
    open_places: dict[TopicPartition, int] = {}
    for place, position in positions.items():
        start = max(position - 1, known[place].first)
        if start < known[place].end:
            open_places[place] = start
    if not open_places:
        return found
    reader.assign(list(open_places))
    for place, start in open_places.items():
        reader.seek(place, start)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TIMES_WITHIN_S):
            while open_places:
                for place, records in (await reader.getmany(*open_places, timeout_ms=_POLL_MS)).items():
                    at = positions[place]
                    for record in records:
                        if record.offset < at:
                            found[place].applied_at_ms = record.timestamp
                        elif not found[place].waiting_since_ms:
                            found[place].waiting_since_ms = record.timestamp
                    if found[place].waiting_since_ms or at >= known[place].end:
                        open_places.pop(place, None)
    return found
