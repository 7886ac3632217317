"""What is built once per process and reached by typed dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from redis.asyncio import Redis

from console_api.metrics import Metrics
from console_api.warehouse import Warehouse
from kit.clock import Clock
from schemas.partitioning import partition_of


@dataclass(frozen=True)
class Stores:
    """The stores, with the clock and the partition count that their keys carry."""

    redis: Redis
    warehouse: Warehouse
    partitions: int
    clock: Clock
    metrics: Metrics

    def partition(self, org_id: str) -> int:
        return partition_of(org_id, self.partitions)


def _stores(request: Request) -> Stores:
    stores = request.app.state.stores
    assert isinstance(stores, Stores)
    return stores


StoresDep = Annotated[Stores, Depends(_stores)]
