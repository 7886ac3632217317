"""Kafka: topics against the registry, who reads it, dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from console_api.consumers import log as groups
from console_api.consumers.readers import roles_of
from kit import kafka_access
from schemas import topics
from stack.doctor.findings import Finding, Place, ok, problem, warning

_CHECKED = ("cleanup.policy", "retention.ms", "message.timestamp.type")
Ends = dict[TopicPartition, int]


async def look(place: Place) -> AsyncIterator[Finding]:
    """Yield what there is to say of Kafka. Raises `KafkaError` when it cannot be reached."""
    kafka = place.kafka
    admin = AIOKafkaAdminClient(**kafka_access.options(kafka), request_timeout_ms=5_000)
    await admin.start()
    try:
        brokers = len((await admin.describe_cluster())["brokers"])
        yield ok("kafka", f"{brokers} brokers at {kafka.bootstrap}")
        if brokers < kafka.replication:
            yield problem(
                "kafka brokers",
                f"{brokers} brokers, but {kafka.replication} copies are asked for",
                "start the missing brokers; until then topics cannot be created",
            )
        there = set(await admin.list_topics())
        missing = [topic.name for topic in topics.ALL if topic.name not in there]
        if missing:
            yield problem("topics", f"missing: {', '.join(missing)}", "run `python -m stack.prepare`")
        known = [topic for topic in topics.ALL if topic.name in there]
        for finding in [*await _shape(admin, known, kafka.partitions), *await _retention(admin, known)]:
            yield finding
        yield await _readers(admin, kafka.partitions)
    finally:
        await admin.close()
    if not missing:
        yield await _dead_letters(place)


async def _shape(admin: AIOKafkaAdminClient, known: list[topics.Topic], partitions: int) -> list[Finding]:
    found: list[Finding] = []
    for described in await admin.describe_topics([topic.name for topic in known]) if known else []:
        count, name = len(described["partitions"]), described["topic"]
        if count != partitions:
            found.append(
                problem(
                    "partitions",
                    f"{name} has {count}, not {partitions}",
                    f"set RUNMETER_KAFKA_PARTITIONS={count}: the count is fixed when a topic is created",
                )
            )
        behind = [p["partition"] for p in described["partitions"] if len(p["isr"]) < len(p["replicas"])]
        if behind:
            found.append(
                warning(
                    "replicas",
                    f"{name}: partitions {behind} lack copies",
                    "look for a broker that is down or slow",
                )
            )
    return found or [ok("partitions", f"{len(known)} topics, {partitions} each, all copies in sync")]


async def _retention(admin: AIOKafkaAdminClient, known: list[topics.Topic]) -> list[Finding]:
    wanted = {topic.name: topic.config() for topic in known}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(_CHECKED)) for name in wanted]
    found: list[Finding] = []
    for answer in await admin.describe_configs(asked) if asked else []:
        for resource in answer.resources:
            name, entries = resource[3], {entry[0]: entry[1] for entry in resource[4]}
            if entries.get("cleanup.policy") != wanted[name]["cleanup.policy"]:
                found.append(
                    problem(
                        "cleanup",
                        f"{name} has the cleanup policy {entries.get('cleanup.policy')}",
                        f"set its cleanup.policy to {wanted[name]['cleanup.policy']}: workers must find it",
                    )
                )
            kept = int(entries.get("retention.ms", 0))
            if 0 <= kept < int(wanted[name].get("retention.ms", 0)):
                found.append(
                    problem(
                        "retention",
                        f"{name} is kept {kept / topics.DAY_MS:.1f} days",
                        f"set its retention.ms to {wanted[name]['retention.ms']}: workers must find it",
                    )
                )
            if entries.get("message.timestamp.type") != wanted[name]["message.timestamp.type"]:
                found.append(
                    problem(
                        "timestamps",
                        f"{name} is stamped by {entries.get('message.timestamp.type')}",
                        f"set its message.timestamp.type to {wanted[name]['message.timestamp.type']}",
                    )
                )
    return found or [ok("retention", "as the registry of topics says")]


async def _readers(admin: AIOKafkaAdminClient, partitions: int) -> Finding:
    """Look for what nobody reads although its readers run; whether they run is asked elsewhere."""
    unread: list[str] = []
    known = await groups.names(admin)
    for role in roles_of(known):
        if role.group not in known:
            continue
        group = await groups.group(admin, role.group)
        wanted = {TopicPartition(topic.name, p) for topic in role.topics for p in range(partitions)}
        if group.members and (missing := wanted - group.owners.keys()):
            unread.append(f"{', '.join(sorted({place.topic for place in missing}))} by {role.name}")
    if unread:
        return warning(
            "readers",
            f"not read: {'; '.join(unread)}",
            "ask again in a minute, they may be dividing it among them; if it stays so, restart that role",
        )
    return ok("readers", "every partition has one")


async def _dead_letters(place: Place) -> Finding:
    first, end = await bounds(place, [topics.DEAD_LETTERS.name])
    count = sum(end.values()) - sum(first.values())
    if count:
        return warning(
            "dead letters",
            f"{count:,} in the topic",
            "`runmeter replay --dry-run` says why; once the cause is gone, `runmeter replay`",
        )
    return ok("dead letters", "none")


async def bounds(place: Place, names: list[str]) -> tuple[Ends, Ends]:
    """Return the first offset and the end of every partition of these topics."""
    consumer = AIOKafkaConsumer(**kafka_access.options(place.kafka), group_id=None)
    await consumer.start()
    try:
        tps = [TopicPartition(name, p) for name in names for p in range(place.kafka.partitions)]
        return await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    finally:
        await consumer.stop()
