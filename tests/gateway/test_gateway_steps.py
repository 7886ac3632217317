"""Tool loops: each step is held before it is taken; one that cannot be paid ends the run there."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_rig import Plane, Tenant, micro

from metering.prices import worst_case

_QUESTION = "What is 12*7?"


async def _first_call(plane: Plane, gateway: Any) -> int:
    """Return the least that the first call of the question holds."""
    probe = await plane.tenant(credits_micro=0)
    return micro((await plane.ask(gateway, probe, _QUESTION)).json["minimum_credits"])


async def test_a_step_is_held_before_it_is_taken(plane: Plane, fast: Any, tenant: Tenant) -> None:
    one_call = await plane.tenant()
    plain = await plane.ask(fast.gateway, one_call, "What are your opening hours?", max_tokens=200)
    looped = await plane.ask(fast.gateway, one_call, _QUESTION, max_tokens=200)
    assert looped.json["usage"]["tool_calls"] == 1
    held = await plane.held(one_call)
    more = held[looped.json["run_id"]] - held[plain.json["run_id"]]
    # Tools may answer at length: the next call's input is held with that.
    assert more >= worst_case(plane.book, "gpt-4o-mini", 1_024, 0) - plane.book.per_run
    assert held[looped.json["run_id"]] >= micro(looped.json["usage"]["credits"])


async def test_a_step_that_cannot_be_paid_ends_the_run_with_what_there_is(plane: Plane, fast: Any) -> None:
    least = await _first_call(plane, fast.gateway)
    poor = await plane.tenant(credits_micro=least + 5)
    answered = await plane.ask(fast.gateway, poor, _QUESTION)
    assert answered.status == 402
    answer = answered.json
    assert (answer["status"], answer["error"]["code"]) == ("limit_exceeded", "hold_exhausted")
    assert "org_wallet" in answer["error"]["detail"]
    assert answer["usage"]["tool_calls"] == 0
    assert answer["usage"]["tokens_out"] > 0
    metered = await plane.log.of(answer["run_id"])
    assert [event.status for event in metered.runs] == ["started", "limit_exceeded"]
    assert (metered.closing.error_code, metered.tools) == ("hold_exhausted", [])
    assert micro(answer["usage"]["credits"]) == metered.closing.credits_micro <= least + 5
    assert sum((await plane.held(poor)).values()) <= least + 5


async def test_a_stream_whose_step_cannot_be_paid_ends_properly(plane: Plane, fast: Any) -> None:
    least = await _first_call(plane, fast.gateway)
    poor = await plane.tenant(credits_micro=least + 5)
    told = await plane.streamed(fast.gateway, poor, _QUESTION)
    assert [event.name for event in told] == ["run.started", "run.limit_exceeded"]
    assert told[-1].data["error"]["code"] == "hold_exhausted"


@pytest.mark.parametrize("room", [1.0, 0.7])
async def test_a_step_is_shortened_to_what_can_be_paid(plane: Plane, fast: Any, room: float) -> None:
    rich = await plane.tenant()
    whole = await plane.ask(fast.gateway, rich, _QUESTION)
    wanted = (await plane.held(rich))[whole.json["run_id"]]
    modest = await plane.tenant(credits_micro=int(wanted * room))
    answer = await plane.ask(fast.gateway, modest, _QUESTION)
    assert answer.status == 200
    assert "84" in answer.json["output"]
    held = sum((await plane.held(modest)).values())
    assert micro(answer.json["usage"]["credits"]) <= held == int(wanted * room)
