"""What the ingestion worker tells Prometheus. Labels are drawn from fixed sets only."""

from __future__ import annotations

from typing import Literal

from prometheus_client import Counter, Gauge

from kit.vectors.port import Generation

Ended = Literal["ready", "failed", "deleted"]

_ENDED = Counter("runmeter_ingestion_sources", "Requests about sources that ended, by how", ["outcome"])
#: Held by requests being worked on; at the setting's `concurrency` all others wait.
WORKING = Gauge("runmeter_ingestion_sources_in_progress", "Requests being worked on")
#: A store, a model, Redis or Kafka was away for a moment.
RETRIES = Counter("runmeter_ingestion_retries", "Calls repeated because a part was away")
_PAGES = Counter("runmeter_ingestion_pages", "Pages that became readable")
_CHUNKS = Counter("runmeter_ingestion_chunks", "Chunks that became readable")
_TOKENS = Counter("runmeter_ingestion_embedded_tokens", "Tokens embedded of what became readable")

_BY_OUTCOME: dict[Ended, Counter] = {name: _ENDED.labels(name) for name in ("ready", "failed", "deleted")}


def ended(outcome: Ended) -> None:
    """Count a request that ended."""
    _BY_OUTCOME[outcome].inc()


def indexed(made: Generation) -> None:
    """Count what a generation made readable."""
    _PAGES.inc(made.pages)
    _CHUNKS.inc(made.chunks)
    _TOKENS.inc(made.tokens)
