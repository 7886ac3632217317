"""What an outbox row may be about."""

from __future__ import annotations

from typing import Final, Literal

#: Each lane has its own relay: a Kafka that is away must not keep a revoked key alive, nor a Redis that is
#: away keep grants back. `records` go to Kafka, too: all of them at once must not keep grants back either.
Lane = Literal["kafka", "redis", "records"]
#: Where projections are written, each by itself.
PROJECTED: Final[tuple[Lane, ...]] = ("redis", "records")

Projection = Literal["api_key", "instance", "price_book", "price_schedule", "customer"]
