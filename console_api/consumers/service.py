"""How far each role is behind. One look at a time, kept for a moment: many pages ask for the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.consumers import log as kafka_log
from console_api.consumers import repository
from console_api.consumers.log import Bounds, Group, Times
from console_api.consumers.models import Consumers, PartitionLag, RoleLag
from console_api.consumers.readers import Role, roles_of
from console_api.stores import Stores
from kit.problems import Unavailable
from kit.settings import KafkaSettings
from schemas import insert_plan, topics

log = logging.getLogger(__name__)

_WITHIN_S = 15.0
_KEPT_MS = 2_000
_FENCED = (*topics.METERED, topics.LEDGER)


class LogAway(Unavailable):
    """Kafka cannot answer now."""

    code, title = "log_unavailable", "The log does not say how far workers are right now"


class ConsumerWatch:
    """Looks at all roles; what it saw is good for a moment."""

    def __init__(self, kafka: KafkaSettings, stores: Stores) -> None:
        self._kafka = kafka
        self._stores = stores
        self._looking = asyncio.Lock()
        self._seen: tuple[int, list[RoleLag]] | None = None

    async def read(self, principal: Principal) -> Consumers:
        """Return how far all roles are. Raises `Forbidden`, `LogAway`, `RedisError`."""
        roles.require(principal, "operator", "To see how far workers are")
        async with self._looking:
            now_ms = self._stores.clock()
            if self._seen is None or now_ms - self._seen[0] > _KEPT_MS:
                self._seen = (now_ms, await self._look())
        seen_ms, found = self._seen
        newest_ms = await repository.newest_ms(self._stores, principal.tenant_id)
        return Consumers(now_ms=seen_ms, roles=found, history_at_ms=newest_ms)

    async def _look(self) -> list[RoleLag]:
        try:
            async with asyncio.timeout(_WITHIN_S), kafka_log.admin_of(self._kafka) as admin:
                known = roles_of(await kafka_log.names(admin))
                groups = {role.name: await kafka_log.group(admin, role.group) for role in known}
                fences = await repository.fences(self._stores, _FENCED)
                async with kafka_log.reader_of(self._kafka) as reader:
                    bounds = await kafka_log.bounds(reader, self._places(known))
                    found = []
                    for role in known:
                        at = positions(role, groups[role.name], fences)
                        times = await kafka_log.times(reader, at, bounds)
                        found.append(self._role(role, groups[role.name], at, bounds, times))
                    return found
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("Kafka says nothing of consumers", extra={"error": repr(error)})
            raise LogAway(
                "Try again in a few seconds.", headers={"Retry-After": "5"}, store="kafka"
            ) from error

    def _places(self, known: Iterable[Role]) -> list[TopicPartition]:
        read = {topic.name for role in known for topic in role.topics}
        return [TopicPartition(name, p) for name in sorted(read) for p in range(self._stores.partitions)]

    def _role(
        self,
        role: Role,
        group: Group,
        at: Mapping[TopicPartition, int],
        bounds: Mapping[TopicPartition, Bounds],
        times: Mapping[TopicPartition, Times],
    ) -> RoleLag:
        rows = [
            partition_lag(
                place, group.owners.get(place, ""), at.get(place), bounds[place], times.get(place, Times())
            )
            for topic in role.topics
            for place in (TopicPartition(topic.name, p) for p in range(self._stores.partitions))
        ]
        waiting = [row.waiting_since_ms for row in rows if row.waiting_since_ms]
        return RoleLag(
            role=role.name,
            group=role.group,
            source=role.source,
            members=group.members,
            unassigned=sum(not row.member for row in rows),
            lag=sum(row.lag or 0 for row in rows),
            waiting_since_ms=min(waiting, default=0),
            partitions=rows,
        )


def positions(role: Role, group: Group, fences: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Return the next offset that a role will apply, by where it keeps it."""
    read = {topic.name for topic in role.topics}
    if role.source == "fences in Redis":
        return {place: fence for place, fence in fences.items() if place.topic in read}
    found = {}
    for place, commit in group.commits.items():
        if place.topic in read and commit.offset >= 0:
            planned = role.source == "plans in commits"
            found[place] = _after_plan(place, commit.offset, commit.metadata) if planned else commit.offset
    return found


def _after_plan(place: TopicPartition, offset: int, metadata: str) -> int:
    """Return where a plan ends that a commit carries: it is done, or about to be."""
    plan = insert_plan.decode(metadata)
    ends = [span.last + 1 for span in plan.ranges if span.partition == place.partition] if plan else []
    return max([offset, *ends])


def partition_lag(
    place: TopicPartition, member: str, position: int | None, bounds: Bounds, times: Times
) -> PartitionLag:
    """Return one row. Where nothing was ever applied, all that is kept waits."""
    untouched = position is None and bounds.end == bounds.first
    at = max(position, bounds.first) if position is not None else bounds.first
    return PartitionLag(
        topic=place.topic,
        partition=place.partition,
        position=position,
        end=bounds.end,
        lag=0 if untouched else max(bounds.end - at, 0),
        member=member,
        applied_at_ms=times.applied_at_ms,
        waiting_since_ms=times.waiting_since_ms,
    )
