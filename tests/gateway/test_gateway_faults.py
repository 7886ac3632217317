"""A model that refuses, breaks off, stalls or says nothing of usage: what is answered and what is metered."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_log import Metered, until
from gateway_rig import Answered, Plane, Tenant

from kit import tokens


async def _failed(plane: Plane, answered: Answered, code: str) -> Metered:
    """Assert a failed run, told and metered alike; return what Kafka has."""
    assert answered.status == 502, answered.body
    answer = answered.json
    assert (answer["status"], answer["error"]["code"]) == ("failed", code)
    assert answer["error"]["detail"]
    metered = await plane.log.of(answer["run_id"])
    assert [event.status for event in metered.runs] == ["started", "failed"]
    assert metered.closing.error_code == code
    assert answer["usage"]["tokens_in"] == metered.closing.tokens_in
    assert answer["usage"]["tokens_out"] == metered.closing.tokens_out
    return metered


@pytest.mark.parametrize("status", [500, 429, 503])
async def test_a_model_that_refuses_costs_nothing(
    plane: Plane, fast: Any, tenant: Tenant, status: int
) -> None:
    answered = await plane.ask(fast.gateway, tenant, f"Hello [[fault:{status}]]")
    metered = await _failed(plane, answered, f"upstream_{status}")
    assert metered.tokens == []
    assert metered.closing.credits_micro == 0
    assert answered.json["usage"]["credits"] == "0.000000"
    assert await plane.served(fast.provider, answered.json["run_id"]) == []


async def test_a_refused_stream_ends_properly(plane: Plane, fast: Any, tenant: Tenant) -> None:
    told = await plane.streamed(fast.gateway, tenant, "Hello [[fault:429]]")
    assert [event.name for event in told] == ["run.started", "run.failed"]
    assert told[-1].data["error"]["code"] == "upstream_429"


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retried_call_is_metered_once(plane: Plane, fast: Any, status: int) -> None:
    # `first-n` counts identical requests: the text must be new.
    fresh = await plane.tenant()
    answered = await plane.ask(fast.gateway, fresh, f"{fresh.org_id} [[fault:first-n:1:{status}]]")
    assert (answered.status, answered.json["status"]) == (200, "completed")
    metered = await plane.log.of(answered.json["run_id"])
    assert len(metered.tokens) == 1
    (served,) = await plane.served(fast.provider, answered.json["run_id"])
    assert metered.closing.tokens_in == served["prompt_tokens"]
    assert metered.closing.tokens_out == served["completion_tokens"]


async def test_an_answer_that_breaks_off(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answered = await plane.ask(fast.gateway, tenant, "Hello [[fault:cut:3]]")
    metered = await _failed(plane, answered, "upstream_cut")
    (word,) = metered.tokens
    assert (word.final, word.source) == (True, "partial")
    (served,) = await plane.served(fast.provider, answered.json["run_id"])
    assert word.input_uncached == served["prompt_tokens"]
    assert word.output == served["completion_tokens"] > 0
    assert tokens.count(answered.json["output"], "gpt-4o-mini") == word.output
    assert metered.closing.credits_micro > 0


async def test_a_stream_that_breaks_off(plane: Plane, fast: Any, tenant: Tenant) -> None:
    told = await plane.streamed(fast.gateway, tenant, "Hello [[fault:cut:5]]")
    assert told[-1].name == "run.failed"
    answer = told[-1].data
    assert "".join(event.data["text"] for event in told[1:-1]) == answer["output"] != ""
    assert answer["usage"]["tokens_out"] == tokens.count(answer["output"], "gpt-4o-mini")


async def test_a_model_that_is_silent_about_usage(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answered = await plane.ask(fast.gateway, tenant, "Hello [[fault:no-usage]]")
    assert answered.status == 200
    metered = await plane.log.of(answered.json["run_id"])
    (word,) = metered.tokens
    assert (word.final, word.source) == (True, "estimate")
    (served,) = await plane.served(fast.provider, answered.json["run_id"])
    assert (word.input_uncached, word.output) == (served["prompt_tokens"], served["completion_tokens"])


async def test_a_model_that_sends_something_unreadable(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answered = await plane.ask(fast.gateway, tenant, "Hello [[fault:bad-json]]")
    metered = await _failed(plane, answered, "upstream_malformed")
    (word,) = metered.tokens
    assert (word.source, word.output) == ("partial", metered.closing.tokens_out)
    assert word.output == tokens.count(answered.json["output"], "gpt-4o-mini") > 0


async def test_a_model_that_stalls(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answered = await plane.ask(fast.gateway, tenant, "Hello [[fault:stall:4]]")
    metered = await _failed(plane, answered, "upstream_timeout")
    assert metered.tokens == []
    assert metered.closing.credits_micro == 0


async def test_the_runner_is_free_again(plane: Plane, fast: Any, tenant: Tenant) -> None:
    async def answered() -> bool:
        return (await plane.ask(fast.gateway, tenant)).status == 200

    await until(answered, "runs go on after faults")
    assert '"level":"error"' not in fast.runner.log()
    assert '"level":"error"' not in fast.gateway.log()
