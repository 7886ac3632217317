"""What the ingestion worker tells Prometheus; declared in `kit.metrics.registry`."""

from __future__ import annotations

from typing import Literal

from prometheus_client import Counter

from kit.metrics import counter, gauge, registry
from kit.vectors.port import Generation

Ended = Literal["ready", "failed", "deleted"]
_ENDED: tuple[Ended, ...] = ("ready", "failed", "deleted")

#: At the setting's `concurrency` all others but deletions wait.
WORKING = gauge(registry.SOURCES_WORKING)
#: A store, a model, Redis or Kafka was away for a moment.
RETRIES = counter(registry.SOURCE_RETRIES)
LAG = gauge(registry.LAG)
BURIED = counter(registry.DEAD_LETTERS).labels("ingestion", "undecodable")
_PAGES = counter(registry.SOURCE_PAGES)
_CHUNKS = counter(registry.SOURCE_CHUNKS)
_TOKENS = counter(registry.SOURCE_TOKENS)

_BY_OUTCOME: dict[Ended, Counter] = {name: counter(registry.SOURCES).labels(name) for name in _ENDED}


def ended(outcome: Ended) -> None:
    """Count a request that ended."""
    _BY_OUTCOME[outcome].inc()


def indexed(made: Generation) -> None:
    """Count what a generation made readable."""
    _PAGES.inc(made.pages)
    _CHUNKS.inc(made.chunks)
    _TOKENS.inc(made.tokens)
