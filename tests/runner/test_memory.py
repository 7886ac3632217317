"""What a conversation remembers: its own turns, some of them, for a while, and nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from odd_model import RunnerWithModel, text, usage

from runner.memory import conversation_of
from schemas import keys
from schemas.runner import Message

BUDGET = 2_000


def _said(runner: RunnerWithModel) -> list[tuple[str, str]]:
    """Return what the model was told last, without instructions."""
    return [(m["role"], m["content"]) for m in runner.model.asked[-1]["messages"] if m["role"] != "system"]


def _talk(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "conversation_id": name,
        "max_context_tokens": BUDGET,
        "org_id": f"org_{name}",
        "instance_id": f"inst_{name}",
        **fields,
    }


async def _run(runner: RunnerWithModel, question: str, **fields: Any) -> None:
    runner.plane.log.orgs.add(fields["org_id"])
    frames, _ = await runner.run(question, **fields)
    assert frames[-1].status == "completed"


async def test_a_conversation_goes_on(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [text("I am fine"), usage(5, 3)])
    await _run(runner, "How are you?", **_talk("goes-on"))
    await _run(runner, "And now?", **_talk("goes-on"))

    assert _said(runner) == [("user", "How are you?"), ("assistant", "I am fine"), ("user", "And now?")]


@pytest.mark.parametrize(
    "other",
    [
        {"conversation_id": "another"},
        {"visitor": "visitor_2"},
        {"instance_id": "inst_other"},
        {"org_id": "org_other"},
        {"tenant_id": "tenant_other"},
    ],
)
async def test_nobody_else_reads_it(runner: RunnerWithModel, other: dict[str, Any]) -> None:
    runner.model.says(lambda _: [text("The code is 1234"), usage(5, 3)])
    mine = _talk("secret", visitor="visitor_1")
    await _run(runner, "Keep this", **mine)
    await _run(runner, "What did I say?", **{**mine, **other})

    assert _said(runner) == [("user", "What did I say?")]


async def test_a_run_without_a_conversation_remembers_nothing(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [text("Yes"), usage(5, 3)])
    await _run(runner, "One", **_talk("none", conversation_id=""))
    await _run(runner, "Two", **_talk("none", conversation_id=""))

    assert _said(runner) == [("user", "Two")]


async def test_who_sends_the_conversation_along_gets_no_second_copy(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [text("Yes"), usage(5, 3)])
    await _run(runner, "One", **_talk("along"))
    sent = (Message("user", "One"), Message("assistant", "Yes"), Message("user", "Two"))
    await _run(runner, "Two", **_talk("along", messages=sent))

    assert [content for _, content in _said(runner)] == ["One", "Yes", "Two"]


async def test_a_failed_run_is_not_remembered(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [text("half"), {"error": {"message": "no"}}])
    fields = _talk("failed")
    runner.plane.log.orgs.add(fields["org_id"])
    frames, _ = await runner.run("One", **fields)
    assert frames[-1].status == "failed"
    runner.model.says(lambda _: [text("Yes"), usage(5, 3)])
    await _run(runner, "Two", **fields)

    assert _said(runner) == [("user", "Two")]


async def test_it_is_bounded_in_turns_tokens_and_time(runner: RunnerWithModel) -> None:
    service = await runner.plane.runner(
        runner.model,  # type: ignore[arg-type]
        RUNNER_MEMORY_TURNS="3",
        RUNNER_MEMORY_TTL_S="600",
    )
    forgetful = RunnerWithModel(runner.plane, service, runner.model)
    runner.model.says(lambda _: [text("Yes"), usage(5, 3)])
    fields = _talk("bounded")
    for number in range(5):
        await _run(forgetful, f"Question {number}", **fields)
    await _run(forgetful, "Last", **fields)

    questions = [content for role, content in _said(forgetful) if role == "user"]
    assert questions == ["Question 2", "Question 3", "Question 4", "Last"]
    key = keys.conversation(fields["instance_id"], conversation_of(forgetful.request("", **fields)))
    assert 0 < await runner.plane.redis.ttl(key) <= 600
    assert await runner.plane.redis.llen(key) == 3
    await _run(forgetful, "Short of room", **{**fields, "max_context_tokens": 20})
    assert len(_said(forgetful)) == 3


async def test_turns_that_end_at_once_are_all_remembered(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [text("Yes"), usage(5, 3)])
    fields = _talk("at-once")
    await asyncio.gather(*(_run(runner, f"Question {n}", **fields) for n in range(5)))
    await _run(runner, "Last", **fields)

    asked = sorted(content for role, content in _said(runner) if role == "user")
    assert asked == ["Last", *(f"Question {n}" for n in range(5))]


async def test_what_is_remembered_cannot_be_read_off_its_key(runner: RunnerWithModel) -> None:
    run = runner.request("x", **_talk("ada@example.com"))

    assert "ada" not in conversation_of(run)


async def test_without_redis_a_run_goes_on(runner: RunnerWithModel) -> None:
    service = await runner.plane.runner(
        runner.model,  # type: ignore[arg-type]
        REDIS_URL="redis://127.0.0.1:1/0",
    )
    runner.model.says(lambda _: [text("Yes"), usage(5, 3)])
    alone = RunnerWithModel(runner.plane, service, runner.model)

    await _run(alone, "One", **_talk("alone", connectors=True))
