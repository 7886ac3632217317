"""Models that fail: the next one is asked, and nothing is charged twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from containers import free_ports
from gateway_rig import SERVICE_HEADER
from odd_model import Chunk, OddModel, RunnerWithModel, call, text, usage

from schemas.runner import CallStarted, Ended


@dataclass
class Failing:
    """A model that answers with a status, or with the chunks of a stream that ends without its end."""

    url: str
    status: int = 500
    chunks: list[Chunk] = field(default_factory=list)
    asked: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in self.chunks:
            await response.write(b"data: " + msgspec.json.encode(chunk) + b"\n\n")
        await response.write_eof()
        return response


@pytest_asyncio.fixture(scope="module")
async def failing() -> AsyncIterator[Failing]:
    port = free_ports("failing")["failing"]
    model = Failing(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.answer)
    serving = web.AppRunner(app)
    await serving.setup()
    await web.TCPSite(serving, "127.0.0.1", port).start()
    yield model
    await serving.cleanup()


@pytest_asyncio.fixture(scope="module")
async def careful(runner: RunnerWithModel, failing: Failing) -> RunnerWithModel:
    """A runner whose first model fails, and whose second does what a test says."""
    service = await runner.plane.runner(
        failing,  # type: ignore[arg-type]
        RUNNER_FALLBACK_BASE_URL=f"{runner.model.url}/v1",
        RUNNER_FALLBACK_MODEL="gpt-4o",
    )
    return RunnerWithModel(runner.plane, service, runner.model)


def _ended(frames: list[Any]) -> Ended:
    ended = frames[-1]
    assert isinstance(ended, Ended)
    return ended


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_the_next_model_is_asked_by_a_call_of_its_own(
    careful: RunnerWithModel, failing: Failing, status: int
) -> None:
    failing.status = status
    careful.model.says(lambda _: [text("From the second"), usage(7, 3)])
    frames, metered = await careful.run()

    assert _ended(frames).status == "completed"
    calls = [frame for frame in frames if isinstance(frame, CallStarted)]
    assert [call.model for call in calls] == ["gpt-4o-mini", "gpt-4o"]
    assert len({call.call_id for call in calls}) == 2
    [event] = metered.tokens
    assert (event.call_id, event.model, event.input_uncached, event.output) == (
        calls[1].call_id,
        "gpt-4o",
        7,
        3,
    )
    assert careful.model.asked[0]["model"] == "gpt-4o"


async def test_a_model_that_breaks_off_before_a_word_is_no_charge(
    careful: RunnerWithModel, failing: Failing
) -> None:
    failing.status, failing.chunks = 200, []
    careful.model.says(lambda _: [text("From the second"), usage(7, 3)])
    frames, metered = await careful.run()

    assert _ended(frames).status == "completed"
    assert [event.model for event in metered.tokens] == ["gpt-4o"]


@pytest.mark.parametrize("chunks", [[text("Half an ans")], [usage(9, 0)]])
async def test_what_has_begun_is_charged_and_not_begun_again(
    careful: RunnerWithModel, failing: Failing, chunks: list[Chunk]
) -> None:
    failing.status, failing.chunks = 200, chunks
    careful.model.says(lambda _: [text("From the second"), usage(7, 3)])
    frames, metered = await careful.run()

    assert (_ended(frames).status, _ended(frames).error_code) == ("failed", "upstream_cut")
    assert [event.model for event in metered.last_words().values()] == ["gpt-4o-mini"]
    assert careful.model.asked == []


@pytest.mark.parametrize("status", [400, 422])
async def test_a_request_that_is_wrong_is_not_asked_again(
    careful: RunnerWithModel, failing: Failing, status: int
) -> None:
    failing.status = status
    careful.model.says(lambda _: [text("From the second"), usage(7, 3)])
    frames, metered = await careful.run()

    assert _ended(frames).error_code == f"upstream_{status}"
    assert metered.tokens == []
    assert careful.model.asked == []


async def test_every_step_tries_the_first_model_first(careful: RunnerWithModel, failing: Failing) -> None:
    def script(asked: dict[str, Any]) -> list[Any]:
        if asked["messages"][-1]["role"] == "tool":
            return [text("42"), usage(20, 4)]
        return [call("calculator", '{"expression":"6*7"}'), usage(10, 5)]

    failing.status, failing.asked = 404, 0
    careful.model.says(script)
    frames, metered = await careful.run()

    assert _ended(frames).status == "completed"
    assert failing.asked == 2
    words = metered.last_words().values()
    assert sorted((word.input_uncached, word.output) for word in words) == [(10, 5), (20, 4)]


async def test_when_all_fail_the_last_says_why(runner: RunnerWithModel, failing: Failing) -> None:
    failing.status = 404
    service = await runner.plane.runner(
        failing,  # type: ignore[arg-type]
        RUNNER_FALLBACK_BASE_URL="http://127.0.0.1:1/v1",
    )
    frames, metered = await RunnerWithModel(runner.plane, service, runner.model).run()

    assert _ended(frames).error_code == "upstream_unreachable"
    assert metered.tokens == []


async def test_a_run_has_no_more_tokens_than_one_may(runner: RunnerWithModel) -> None:
    service = await runner.plane.runner(
        runner.model,  # type: ignore[arg-type]
        RUNNER_MAX_RUN_TOKENS="1300",
    )
    runner.model.says(lambda _: [call("calculator", '{"expression":"1"}'), usage(10, 200)])
    frames, metered = await RunnerWithModel(runner.plane, service, OddModel(runner.model.url)).run()

    assert _ended(frames).error_code == "run_token_limit"
    used = sum(word.input_uncached + word.output for word in metered.last_words().values())
    assert 210 <= used <= 1_300


async def test_a_run_takes_no_longer_than_one_may(runner: RunnerWithModel) -> None:
    service = await runner.plane.runner(
        runner.model,  # type: ignore[arg-type]
        RUNNER_MAX_RUN_SECONDS="1",
        RUNNER_STEP_TIMEOUT_MS="60000",
    )
    hesitant = RunnerWithModel(runner.plane, service, runner.model)
    runner.model.says(lambda _: [call("calculator", '{"expression":"1"}'), usage(10, 20)])
    # Nobody decides on the step, so nothing but the limit can end it.
    request = hesitant.request()
    async with hesitant.plane.http.post(
        f"{service.url}/internal/v1/runs", data=msgspec.json.encode(request), headers=SERVICE_HEADER
    ) as response:
        last = (await response.read()).splitlines()[-1]

    assert msgspec.json.decode(last, type=Ended).error_code == "run_timeout"
    metered = await hesitant.plane.log.of(request.run_id)
    assert [word.output for word in metered.last_words().values()] == [20]
