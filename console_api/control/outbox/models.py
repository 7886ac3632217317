"""What an outbox row may be about."""

from __future__ import annotations

from typing import Final, Literal

Lane = Literal["kafka", "redis"]
#: Each lane has its own relay: a Kafka that is away must not keep a revoked key alive.
LANES: Final[tuple[Lane, ...]] = ("kafka", "redis")

Projection = Literal["api_key", "instance", "price_book", "price_schedule", "customer"]
