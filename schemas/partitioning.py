"""Which partition a wallet lives in: Kafka's own murmur2 over the org id, nothing else.

Kafka, the gateway and the workers must agree for ever, because the Redis keys carry the number: the
partition count of a deployment is fixed when its topics are created.
"""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(org_id: str, partitions: int) -> int:
    """Return the partition (0 … partitions-1) that holds `org_id`'s events and wallet."""
    return int(murmur2(org_id.encode()) & 0x7FFFFFFF) % partitions
