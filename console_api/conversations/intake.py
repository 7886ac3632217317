"""Hears from runners and gateways what was said and what was thought of it, and writes it down.

Written first, committed to Kafka after: what a crash in between repeats is there already. Feedback that
overtakes its turn waits for it: it is heard again with the next batch, for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from typing import cast

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, KafkaError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.conversations import repository
from console_api.database.engine import Database
from kit import kafka_access
from kit.settings import ConversationSettings, KafkaSettings
from schemas import topics
from schemas.conversations import ConversationTurn, FeedbackEvent
from schemas.topics import DAY_MS

log = logging.getLogger(__name__)

GROUP = "runmeter-conversations"
_BATCH = 200
_POLL_MS = 500
_RETRY_S = 2.0
_MAX_TITLE = 120
_MAX_EARLY = 1_000
_EVENTS = {topic.name: topic.event for topic in (topics.CONVERSATION_TURNS, topics.CONVERSATION_FEEDBACK)}

Event = ConversationTurn | FeedbackEvent


class Intake:
    """One member of the group that reads turns and feedback. Any number of console APIs may run one."""

    def __init__(self, database: Database, settings: ConversationSettings, kafka: KafkaSettings) -> None:
        self._database = database
        self._retention_ms = settings.retention_days * DAY_MS
        self._kafka = kafka
        #: Feedback whose turn has not come yet, by run.
        self._early: OrderedDict[str, FeedbackEvent] = OrderedDict()

    async def run(self) -> None:
        """Listen for ever."""
        said = False
        while True:
            try:
                await self._session()
            except (KafkaError, SQLAlchemyError, OSError) as error:
                # Once: while Kafka is away there is nothing new to say.
                level = logging.DEBUG if said else logging.WARNING
                log.log(level, "conversations are not heard", extra={"error": repr(error)})
                said = True
            except Exception:
                log.exception("hearing conversations failed")
            await asyncio.sleep(_RETRY_S)

    async def _session(self) -> None:
        consumer = AIOKafkaConsumer(
            *_EVENTS,
            **kafka_access.options(self._kafka),
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            while True:
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
                heard = [
                    event
                    for records in found.values()
                    for record in records
                    if (event := _decoded(record.topic, record.value)) is not None
                ]
                if heard:
                    await self.take(heard)
                if found:
                    with contextlib.suppress(CommitFailedError):
                        await consumer.commit()
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.stop()

    async def take(self, events: list[Event]) -> None:
        """Write down what was heard, in one transaction."""
        waiting = [*self._early.values(), *(event for event in events if isinstance(event, FeedbackEvent))]
        unplaced: OrderedDict[str, FeedbackEvent] = OrderedDict()
        async with self._database.writing() as session:
            # In one order for all, so that two that write at once do not wait for each other for ever.
            turns = [event for event in events if isinstance(event, ConversationTurn)]
            for turn in sorted(turns, key=lambda event: (event.conversation, event.started_at_ms)):
                await store(session, turn, self._retention_ms)
            for feedback in waiting:
                if not await _rated(session, feedback):
                    unplaced[feedback.run_id] = feedback
        while len(unplaced) > _MAX_EARLY:
            unplaced.popitem(last=False)
        self._early = unplaced


async def store(session: AsyncSession, turn: ConversationTurn, retention_ms: int) -> bool:
    """Write a turn down; return whether it was new, and is to be kept."""
    whose = (turn.tenant_id, turn.org_id, turn.instance_id)
    if not retention_ms or not await repository.instance_is(session, *whose):
        return False
    expires_at_ms = turn.occurred_at_ms + retention_ms
    owner = {"tenant_id": turn.tenant_id, "org_id": turn.org_id, "instance_id": turn.instance_id}
    await repository.add_conversation(
        session,
        conversation_id=turn.conversation,
        **owner,
        channel=turn.channel,
        title=" ".join(turn.question.split())[:_MAX_TITLE],
        turns=0,
        first_at_ms=turn.started_at_ms,
        last_at_ms=turn.started_at_ms,
        expires_at_ms=expires_at_ms,
        deleted_at_ms=0,
    )
    row = await repository.conversation(session, turn.conversation, lock=True)
    assert row is not None
    if (row.tenant_id, row.org_id, row.instance_id) != whose or turn.started_at_ms <= row.deleted_at_ms:
        return False
    new = await repository.add_turn(
        session,
        run_id=turn.run_id,
        conversation_id=turn.conversation,
        **owner,
        model=turn.model,
        status=turn.status,
        question=turn.question,
        answer=turn.answer,
        citations=tuple(turn.citations),
        redacted=turn.redacted,
        started_at_ms=turn.started_at_ms,
        occurred_at_ms=turn.occurred_at_ms,
        expires_at_ms=expires_at_ms,
        rating="",
        comment="",
        rated_at_ms=0,
    )
    if new:
        row.title = row.title or " ".join(turn.question.split())[:_MAX_TITLE]
        row.turns += 1
        row.last_at_ms = max(row.last_at_ms, turn.started_at_ms)
        row.expires_at_ms = max(row.expires_at_ms, expires_at_ms)
        await session.flush()
    return new


async def _rated(session: AsyncSession, said: FeedbackEvent) -> bool:
    whose = (said.tenant_id, said.org_id, said.instance_id)
    return await repository.rate(
        session, whose, said.run_id, rating=said.rating, comment=said.comment, at_ms=said.occurred_at_ms
    )


def _decoded(topic: str, value: bytes | None) -> Event | None:
    try:
        event = msgspec.json.decode(value or b"", type=_EVENTS[topic])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Of the error only its kind: its text may hold what was said.
        log.warning("a turn that cannot be read was skipped", extra={"error": type(error).__name__})
        return None
    return cast(Event, event)
