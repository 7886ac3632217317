"""Transcripts leave the runner without personal data, or not at all."""

from __future__ import annotations

import msgspec
from aiokafka import AIOKafkaConsumer
from odd_model import RunnerWithModel, text, usage

from runner.memory import conversation_of
from schemas import topics
from schemas.conversations import ConversationTurn


async def _turns(runner: RunnerWithModel, last_run: str) -> dict[str, ConversationTurn]:
    """Return all turns up to that of a run, by run."""
    found: dict[str, ConversationTurn] = {}
    consumer = AIOKafkaConsumer(
        topics.CONVERSATION_TURNS.name,
        bootstrap_servers=runner.plane.bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        while last_run not in found:
            record = await consumer.getone()
            turn = msgspec.json.decode(record.value or b"", type=ConversationTurn)
            found[turn.run_id] = turn
    finally:
        await consumer.stop()
    return found


async def test_a_turn_is_sent_without_personal_data(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [text("Mail sent to ada@"), text("example.com."), usage(5, 3)])
    request = runner.request("I am ada@example.com, call +49 30 1234567", conversation_id="talk")
    fields = {name: getattr(request, name) for name in ("run_id", "org_id", "instance_id")}
    await runner.run(request.messages[0].content, conversation_id="talk", **fields)

    turn = (await _turns(runner, request.run_id))[request.run_id]
    assert (turn.question, turn.answer) == ("I am [email], call [phone]", "Mail sent to [email].")
    assert (turn.redacted, turn.status, turn.conversation) == (True, "completed", conversation_of(request))
    assert "talk" not in turn.conversation


async def test_nothing_is_sent_where_nothing_is_kept(runner: RunnerWithModel) -> None:
    service = await runner.plane.runner(
        runner.model,  # type: ignore[arg-type]
        CONVERSATIONS_RETENTION_DAYS="0",
    )
    runner.model.says(lambda _: [text("Hello"), usage(5, 3)])
    silent, kept = runner.request(), runner.request()
    for side, request in ((RunnerWithModel(runner.plane, service, runner.model), silent), (runner, kept)):
        await side.run(run_id=request.run_id, org_id=silent.org_id)

    # Of one org, so of one partition: the second would come after the first.
    assert silent.run_id not in await _turns(runner, kept.run_id)
