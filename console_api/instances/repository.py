"""Instances and their live counters, from Redis."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from console_api.counters import FIELDS, vector
from console_api.instances.models import InstanceCounters
from console_api.stores import Stores
from schemas import keys
from schemas.directory import InstanceRecord

_decoder = msgspec.json.Decoder(InstanceRecord)
_CHUNK = 500


async def record(stores: Stores, instance_id: str) -> InstanceRecord | None:
    """Return one instance's projection, if there is one. Raises `RedisError`."""
    raw = await stores.redis.get(keys.instance(instance_id))
    return _decoder.decode(raw) if raw else None


async def gateways_see(stores: Stores, instance_id: str) -> bool:
    """Return whether gateways would serve the instance's runs. Raises `RedisError`."""
    seen = await record(stores, instance_id)
    return seen is not None and seen.status == "active"


async def records_of_org(stores: Stores, org_id: str) -> list[InstanceRecord]:
    """Return all instances of an org, in no order. Raises `RedisError`."""
    ids = sorted(_text(member) for member in await stores.redis.smembers(keys.org_instances(org_id)))
    found: list[InstanceRecord] = []
    for start in range(0, len(ids), _CHUNK):
        # Single reads in a pipeline: the projections of an org may live on different shards.
        pipeline = stores.redis.pipeline(transaction=False)
        for instance_id in ids[start : start + _CHUNK]:
            pipeline.get(keys.instance(instance_id))
        found += [_decoder.decode(raw) for raw in await pipeline.execute() if raw]
    return found


async def counters(
    stores: Stores, records: Sequence[InstanceRecord], minutes: Sequence[int]
) -> list[InstanceCounters]:
    """Return each instance's totals and minute windows (starts in Unix ms), in one round trip."""
    pipeline = stores.redis.pipeline(transaction=False)
    for item in records:
        partition = stores.partition(item.org_id)
        pipeline.hmget(keys.counter(partition, item.instance_id), FIELDS)
        for start_ms in minutes:
            pipeline.hmget(keys.counter(partition, item.instance_id, "minute", start_ms), FIELDS)
    answers = [vector(values) for values in await pipeline.execute()]
    width = len(minutes) + 1
    return [
        InstanceCounters(item, answers[at * width], minutes, answers[at * width + 1 : (at + 1) * width])
        for at, item in enumerate(records)
    ]


def _text(member: bytes | str) -> str:
    return member.decode() if isinstance(member, bytes) else member
