"""The runner against models that behave oddly: no run breaks, and every one is bounded and metered."""

from __future__ import annotations

from typing import Any

import pytest
from containers import SERVICE_TOKEN
from odd_model import RunnerWithModel, call, text, usage

from kit import tokens
from schemas.runner import (
    EXECUTE_PATH,
    CallStarted,
    Delta,
    Ended,
    ToolCallFinished,
    ToolCallStarted,
    UsageReported,
)


def _of(frames: list[Any], kind: type[Any]) -> list[Any]:
    return [frame for frame in frames if isinstance(frame, kind)]


async def test_frames_come_in_order(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [text("Hello"), text(" there"), usage(11, 2)])
    frames, metered = await runner.run()
    assert [type(frame) for frame in frames] == [CallStarted, Delta, Delta, UsageReported, Ended]
    assert frames[-1] == Ended(status="completed")
    (event,) = metered.tokens
    assert frames[-2].event == event
    assert (event.input_uncached, event.output, event.final, event.source) == (11, 2, True, "provider")


async def test_cached_and_reasoning_tokens_have_buckets(runner: RunnerWithModel) -> None:
    runner.model.says(
        lambda _: [
            text("Hello"),
            usage(
                100,
                40,
                prompt_tokens_details={"cached_tokens": 60},
                completion_tokens_details={"reasoning_tokens": 30},
            ),
        ]
    )
    (event,) = (await runner.run())[1].tokens
    assert (event.input_uncached, event.cache_read, event.output, event.reasoning) == (40, 60, 40, 30)


async def test_a_usage_that_contradicts_itself_is_bounded(runner: RunnerWithModel) -> None:
    runner.model.says(
        lambda _: [
            text("Hello"),
            usage(
                10,
                5,
                prompt_tokens_details={"cached_tokens": 99},
                completion_tokens_details={"reasoning_tokens": 99},
            ),
        ]
    )
    (event,) = (await runner.run())[1].tokens
    assert (event.input_uncached, event.cache_read, event.output, event.reasoning) == (0, 10, 5, 5)


async def test_the_last_usage_counts(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [usage(10, 1), text("Hello"), usage(10, 2), usage(10, 3)])
    (event,) = (await runner.run())[1].tokens
    assert (event.input_uncached, event.output) == (10, 3)


async def test_unknown_tools_do_not_break_a_run(runner: RunnerWithModel) -> None:
    def script(asked: dict[str, Any]) -> list[Any]:
        if asked["messages"][-1]["role"] == "tool":
            return [text("I could not."), usage(20, 4)]
        return [call("teleport", '{"to":"Mars"}'), usage(10, 5)]

    runner.model.says(script)
    frames, metered = await runner.run()
    assert frames[-1].status == "completed"
    assert [event.status for event in metered.tools] == ["error"]
    assert [event.tool for event in metered.tools] == ["teleport"]
    assert "not available" in runner.model.asked[1]["messages"][-1]["content"]
    assert len(metered.last_words()) == 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("calculator", "{not json"),
        ("calculator", "[]"),
        ("calculator", "{}"),
        ("calculator", '{"expression": 5}'),
        ("calculator", '{"expression": "9**9**9**9"}'),
        ("calculator", '{"expression": "().__class__"}'),
        ("calculator", '{"expression": "\'a\'*10**9"}'),
        ("calculator", '{"expression": "((((("}'),
        ("calculator", '{"expression": "1<<10**10"}'),
        ("calculator", '{"expression": "' + "(" * 150 + '"}'),
        ("calculator", '{"expression": "min(1)"}'),
        ("calculator", '{"expression": "round(1, 2, 3)"}'),
        ("calculator", '{"expression": "[1][5]"}'),
        ("calculator", '{"expression": "{1:2}[3]"}'),
        ("calculator", '{"expression": "\\u0000"}'),
        ("calculator", '{"expression": "4000000**4000000"}'),
        ("calculator", '{"expression": "2**2000*2**2000*2**2000"}'),
        ("calculator", '{"expression": "2**-(2**2000)"}'),
        ("calculator", '{"expression": "(-8)**0.5"}'),
        ("calculator", '{"expression": "1<<10000"}'),
        ("calculator", '{"expression": "round(2, -10**9)"}'),
        ("calculator", '{"expression": "f\'{1:>9999999999}\'"}'),
        ("calculator", '{"expression": "\'abc\'[9]"}'),
        ("calculator", '{"expression": "\'a\'"}'),
        ("calculator", '{"expression": "abs"}'),
        ("calculator", '{"expression": "max(*[1])"}'),
        ("calculator", '{"expression": "min(1, 2, key=abs)"}'),
        ("calculator", '{"expression": "abs(1)(2)"}'),
        ("calculator", '{"expression": "1; 2"}'),
        ("current_time", '{"timezone": "Mars/Olympus"}'),
        ("current_time", '{"timezone": "../../etc/passwd"}'),
        ("current_time", '{"timezone": "Europe"}'),
        ("current_time", '{"timezone": ""}'),
        ("current_time", '{"timezone": "\\u0000"}'),
        ("", ""),
        ("x" * 400, "{}"),
    ],
)
async def test_tools_called_wrongly_do_not_break_a_run(
    runner: RunnerWithModel, name: str, arguments: str
) -> None:
    def script(asked: dict[str, Any]) -> list[Any]:
        if asked["messages"][-1]["role"] == "tool":
            return [text("Sorry."), usage(20, 2)]
        return [call(name, arguments), usage(10, 5)]

    runner.model.says(script)
    frames, metered = await runner.run()
    assert frames[-1] == Ended(status="completed")
    assert [event.status for event in metered.tools] == ["error"]
    assert runner.model.asked[1]["messages"][-1]["content"].startswith("error")


async def test_steps_are_bounded(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [call("calculator", '{"expression":"1+1"}'), usage(10, 5)])
    frames, metered = await runner.run()
    assert frames[-1].status == "completed"
    assert len(runner.model.asked) == 3
    assert ["tools" in asked for asked in runner.model.asked] == [True, True, False]
    assert len(metered.last_words()) == 3
    assert [event.status for event in metered.tools] == ["ok", "ok"]


async def test_tool_calls_are_bounded(runner: RunnerWithModel) -> None:
    runner.model.says(
        lambda _: [
            *(call("calculator", '{"expression":"1+1"}', n, f"call_{n}") for n in range(7)),
            usage(10, 50),
        ]
    )
    frames, metered = await runner.run()
    assert frames[-1].status == "completed"
    assert [event.status for event in metered.tools] == ["ok"] * 4 + ["error"] * 3
    assert len(runner.model.asked) == 2
    assert len({event.tool_call_id for event in metered.tools}) == 7


async def test_a_tool_call_comes_in_pieces(runner: RunnerWithModel) -> None:
    def script(asked: dict[str, Any]) -> list[Any]:
        if asked["messages"][-1]["role"] == "tool":
            return [text(asked["messages"][-1]["content"])]
        return [
            call("calculator", None),
            call(None, '{"expre', id=None),
            call(None, 'ssion":"6*7"}', id=None),
        ]

    runner.model.says(script)
    frames, metered = await runner.run()
    assert "".join(frame.text for frame in _of(frames, Delta)) == "42"
    assert _of(frames, ToolCallStarted)[0].arguments == '{"expression":"6*7"}'
    assert _of(frames, ToolCallFinished)[0].event == metered.tools[0]
    first = metered.last_words()[_of(frames, CallStarted)[0].call_id]
    assert first.source == "estimate"
    assert first.output == tokens.count('calculator{"expression":"6*7"}', "gpt-4o-mini")


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([text("Half"), {"error": {"message": "overloaded"}}], "upstream_error"),
        ([text("Half"), b"data: {oops"], "upstream_malformed"),
        ([text("Half"), b'data: {"choices": 5}'], "upstream_malformed"),
        ([text("Half"), b"data: \xff\xfe"], "upstream_malformed"),
        ([text("Half"), usage(-5, 3)], "upstream_malformed"),
        ([text("Half"), usage(5, -3)], "upstream_malformed"),
        ([text("Half"), usage(10**18, 3)], "upstream_malformed"),
    ],
)
async def test_a_model_that_errs_is_metered_for_what_it_wrote(
    runner: RunnerWithModel, chunks: list[Any], code: str
) -> None:
    runner.model.says(lambda _: chunks)
    frames, metered = await runner.run()
    assert (frames[-1].status, frames[-1].error_code) == ("failed", code)
    (event,) = metered.last_words().values()
    assert event.final
    assert event.source == "partial"
    assert event.output == tokens.count("Half", "gpt-4o-mini")
    assert event.input_uncached == tokens.count_messages(
        [{"role": "user", "content": "Hello"}], "gpt-4o-mini"
    )


async def test_nothing_but_done_is_an_empty_answer(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [])
    frames, metered = await runner.run()
    assert frames[-1].status == "completed"
    assert metered.tokens == []


async def test_bad_orders_and_unknown_cancels(runner: RunnerWithModel) -> None:
    status, body = await runner.posted(EXECUTE_PATH, b'{"run_id": 5}')
    assert status == 422
    assert b"invalid_request" in body
    status, body = await runner.posted(f"{EXECUTE_PATH}/run_none/cancel", b"")
    assert (status, body) == (200, b'{"found":false}')


async def test_a_run_of_a_model_that_is_not_there_fails(runner: RunnerWithModel) -> None:
    # Another runner stands in its place, which knows us and has no such path.
    gone = await runner.plane.runner(runner.service, RUNNER_MODEL_API_KEY=SERVICE_TOKEN)
    frames, metered = await RunnerWithModel(runner.plane, gone, runner.model).run()
    assert frames[-1].status == "failed"
    assert frames[-1].error_code == "upstream_404"
    assert metered.tokens == []
