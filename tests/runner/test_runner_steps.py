"""Steps of a tool loop: what the runner asks the gateway, and what it makes of the answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from containers import free_ports
from gateway_rig import SERVICE_HEADER, Service
from odd_model import RunnerWithModel, call, text, usage

from kit import tokens
from runner.tools import shortened
from schemas.runner import EXECUTE_PATH, Ended, StepDecision, StepProposed, decode_frame, step_path

_SUM = call("calculator", '{"expression":"6*7"}')


def _answer_after_a_tool(asked: dict[str, Any]) -> list[Any]:
    if asked["messages"][-1]["role"] == "tool":
        return [text(asked["messages"][-1]["content"]), usage(20, 4)]
    return [text("Let me see."), _SUM, usage(10, 5)]


async def test_a_step_is_proposed_before_its_tools(runner: RunnerWithModel) -> None:
    runner.model.says(_answer_after_a_tool)
    granting = replace(runner, decide=lambda _: StepDecision(proceed=True, max_output_tokens=77))
    frames, metered = await granting.run()
    assert frames[-1] == Ended(status="completed")
    (step,) = [frame for frame in frames if isinstance(frame, StepProposed)]
    kinds = [type(frame).__name__ for frame in frames]
    assert kinds.index("UsageReported") < kinds.index("StepProposed") < kinds.index("ToolCallStarted")
    assert step.tools == ("calculator",)
    first, second = runner.model.asked
    assert step.input_tokens >= tokens.count_messages(second["messages"], "gpt-4o-mini")
    assert (first["max_tokens"], second["max_tokens"]) == (1_024, 77)
    assert len(metered.tools) == 1


async def test_a_refused_step_ends_the_run_with_what_there_is(runner: RunnerWithModel) -> None:
    runner.model.says(_answer_after_a_tool)
    refusal = StepDecision(proceed=False, error_code="hold_exhausted", detail="too few")
    frames, metered = await replace(runner, decide=lambda _: refusal).run()
    assert frames[-1] == Ended(status="limit_exceeded", error_code="hold_exhausted", detail="too few")
    assert len(runner.model.asked) == 1
    assert metered.tools == []
    (word,) = metered.tokens
    assert (word.final, word.source, word.output) == (True, "provider", 5)


async def test_a_step_that_nobody_decides_ends_the_run(runner: RunnerWithModel) -> None:
    runner.model.says(_answer_after_a_tool)
    service = await runner.plane.runner(runner.model, RUNNER_STEP_TIMEOUT_MS="100")  # type: ignore[arg-type]
    impatient = RunnerWithModel(runner.plane, service, runner.model)
    request = impatient.request()
    async with runner.plane.http.post(
        service.url + EXECUTE_PATH, data=msgspec.json.encode(request), headers=SERVICE_HEADER
    ) as response:
        frames = [decode_frame(line) async for line in response.content]
    assert (frames[-1].status, frames[-1].error_code) == ("failed", "gateway_silent")  # type: ignore[union-attr]
    await service.stop()


async def test_a_decision_nobody_waits_for(runner: RunnerWithModel) -> None:
    status, body = await runner.posted(step_path("run_none"), b'{"proceed":true}')
    assert (status, body) == (200, b'{"found":false}')
    status, body = await runner.posted(step_path("run_none"), b"{")
    assert status == 422


@pytest.mark.parametrize("result", ["word " * 3_000, "\U0001f600" * 3_000, "a" * 9_000, "9" * 4_000])
def test_a_tools_result_is_bounded(result: str) -> None:
    cut = shortened(result, "gpt-4o-mini", 100)
    assert result.startswith(cut)
    assert 0 < tokens.count(cut, "gpt-4o-mini") <= 100 + 8
    assert shortened("short", "gpt-4o-mini", 100) == "short"


async def test_a_call_left_before_its_first_token_is_metered_for_its_input(runner: RunnerWithModel) -> None:
    provider = await runner.plane.provider(1)
    service = await runner.plane.runner(provider)
    leaving = RunnerWithModel(runner.plane, service, runner.model)
    request = leaving.request("Hello [[fault:stall:60]]")
    posting = asyncio.create_task(_execute(leaving, request))
    while not await runner.plane.served(provider, request.run_id):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.02)
    await leaving.posted(f"{EXECUTE_PATH}/{request.run_id}/cancel", b"")
    frames = await posting
    assert frames[-1].status == "cancelled"
    (word,) = (await runner.plane.log.of(request.run_id)).tokens
    (served,) = await runner.plane.served(provider, request.run_id)
    assert (word.final, word.source, word.output) == (True, "partial", 0)
    assert word.input_uncached == served["prompt_tokens"] > 0
    await service.stop()


async def _execute(runner: RunnerWithModel, request: Any) -> list[Any]:
    async with runner.plane.http.post(
        runner.service.url + EXECUTE_PATH, data=msgspec.json.encode(request), headers=SERVICE_HEADER
    ) as response:
        return [decode_frame(line) async for line in response.content]


async def test_a_model_that_refuses_connections_is_unreachable(runner: RunnerWithModel) -> None:
    nowhere = Service("nothing", runner.plane.folder, free_ports("nobody")["nobody"])
    service = await runner.plane.runner(nowhere)
    frames, metered = await RunnerWithModel(runner.plane, service, runner.model).run()
    assert (frames[-1].status, frames[-1].error_code) == ("failed", "upstream_unreachable")  # type: ignore[union-attr]
    assert metered.tokens == []
    await service.stop()
