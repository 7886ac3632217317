"""What a run said, sent to be stored: without personal data, and only where transcripts are kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kit.clock import Clock
from kit.publisher import Publisher
from kit.redaction import redacted
from kit.settings import ConversationSettings
from kit.spool import SpoolFull
from runner.memory import conversation_of
from runner.prompt import question_of
from schemas import topics
from schemas.conversations import MAX_TURN_CHARS, CitedSource, ConversationTurn
from schemas.runner import Citation, Ended, ExecuteRequest

log = logging.getLogger(__name__)

_MAX_WORDS = 200


class Transcript:
    """Publishes turns of conversations."""

    def __init__(self, publisher: Publisher, settings: ConversationSettings, clock: Clock) -> None:
        self._publisher = publisher
        self._settings = settings
        self._clock = clock

    async def record(self, run: ExecuteRequest, answer: str, ended: Ended) -> None:
        """Send a run's turn. While Kafka is away it is not kept: nothing else depends on it."""
        if not self._settings.retention_days:
            return
        if self._publisher.away:
            # The spool's room is for what has to be paid.
            log.warning("a turn is not kept", extra={"run_id": run.run_id})
            return
        turn = ConversationTurn(
            tenant_id=run.tenant_id,
            org_id=run.org_id,
            instance_id=run.instance_id,
            run_id=run.run_id,
            conversation=conversation_of(run),
            channel=run.channel,
            model=run.model,
            status=ended.status,
            question=self._stored(question_of(run)),
            answer=self._stored(answer),
            citations=_sources(ended.citations),
            redacted=self._settings.redact,
            started_at_ms=run.started_at_ms,
            occurred_at_ms=self._clock(),
        )
        try:
            await self._publisher.publish(topics.CONVERSATION_TURNS, run.org_id, turn)
        except SpoolFull:
            log.warning("a turn is not kept", extra={"run_id": run.run_id})

    def _stored(self, text: str) -> str:
        # Cut first: taking personal data out makes nothing much longer, and its time is bounded so.
        cut = text[: MAX_TURN_CHARS - 1_024]
        return (redacted(cut) if self._settings.redact else cut)[:MAX_TURN_CHARS]


def _sources(citations: Sequence[Citation]) -> list[CitedSource]:
    return [
        CitedSource(
            source_id=citation.source_id,
            title=citation.title[:_MAX_WORDS],
            section=citation.section[:_MAX_WORDS],
            page=citation.page,
        )
        for citation in citations[:20]
    ]
