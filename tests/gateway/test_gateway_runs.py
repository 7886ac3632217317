"""Runs that go well: what the client gets, what Kafka gets, and that both are what the model used."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from gateway_log import Metered
from gateway_rig import Plane, Tenant

from gateway.credits import as_credits
from metering.prices import cost
from metering.runs import fold
from metering.totals import COUNTERS, totals_of


def assert_agree(plane: Plane, answer: dict[str, Any], metered: Metered) -> None:
    """The answer, the closing event and the charge of the events are one."""
    closing, usage = metered.closing, answer["usage"]
    state = fold(None, [(event, False) for event in metered.everything])
    charge = cost(state, plane.book)
    totals = dict(zip(COUNTERS, totals_of(state, charge.micro), strict=True))
    assert answer["run_id"] == closing.run_id
    assert answer["status"] == closing.status
    for name in ("tokens_in", "tokens_out", "tool_calls"):
        assert usage[name] == getattr(closing, name) == totals[name]
    assert usage["duration_ms"] == closing.duration_ms
    assert usage["credits"] == as_credits(closing.credits_micro) == as_credits(charge.micro)


async def assert_provider_agrees(plane: Plane, fast: Any, answer: dict[str, Any]) -> None:
    served = await plane.served(fast.provider, answer["run_id"])
    assert served
    assert all(row["finished"] for row in served)
    assert answer["usage"]["tokens_in"] == sum(row["prompt_tokens"] for row in served)
    assert answer["usage"]["tokens_out"] == sum(row["completion_tokens"] for row in served)


async def test_a_run_is_answered_and_metered(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answered = await plane.ask(fast.gateway, tenant, end_user="user-7", metadata={"ticket": "4711"})
    assert answered.status == 200
    answer = answered.json
    assert set(answer) == {"run_id", "status", "model", "output", "usage", "metadata"}
    assert set(answer["usage"]) == {"tokens_in", "tokens_out", "tool_calls", "duration_ms", "credits"}
    assert (answer["status"], answer["model"]) == ("completed", "gpt-4o-mini")
    assert answer["output"]
    assert answer["metadata"] == {"ticket": "4711"}
    assert re.fullmatch(r"\d+\.\d{6}", answer["usage"]["credits"])
    metered = await plane.log.of(answer["run_id"])
    assert [event.status for event in metered.runs] == ["started", "completed"]
    assert [(event.final, event.source) for event in metered.tokens] == [(True, "provider")]
    assert metered.tools == []
    assert_agree(plane, answer, metered)
    await assert_provider_agrees(plane, fast, answer)


async def test_the_closing_event_says_whose_run_it_was(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answer = (await plane.ask(fast.gateway, tenant, end_user="user-7", model="gpt-4o")).json
    metered = await plane.log.of(answer["run_id"])
    closing = metered.closing
    assert (closing.status, closing.model, closing.streamed) == ("completed", "gpt-4o", False)
    assert (closing.end_user, closing.error_code) == ("user-7", "")
    assert closing.duration_ms == closing.occurred_at_ms - closing.started_at_ms
    assert closing.credits_micro > 0
    for event in metered.everything:
        assert (event.v, event.tenant_id, event.org_id) == (1, plane.tenant_id, tenant.org_id)
        assert (event.instance_id, event.run_id) == (tenant.instance_id, answer["run_id"])
        assert (event.channel, event.key_id) == ("api", tenant.key_record.key_id)
        assert event.price_version == plane.book.version
        assert event.started_at_ms == closing.started_at_ms <= event.occurred_at_ms


async def test_a_stream_tells_the_run_as_it_goes(plane: Plane, fast: Any, tenant: Tenant) -> None:
    told = await plane.streamed(fast.gateway, tenant, "Which plans do you offer?")
    names = [event.name for event in told]
    assert (names[0], names[-1]) == ("run.started", "run.completed")
    assert len(names) > 3
    assert set(names[1:-1]) == {"message.delta"}
    answer = told[-1].data
    assert told[0].data == {"run_id": answer["run_id"], "model": "gpt-4o-mini"}
    assert "".join(event.data["text"] for event in told[1:-1]) == answer["output"]
    metered = await plane.log.of(answer["run_id"])
    assert metered.closing.streamed
    assert_agree(plane, answer, metered)
    await assert_provider_agrees(plane, fast, answer)


@pytest.mark.parametrize(
    ("question", "tools"),
    [
        ("What is 12*7?", ["calculator"]),
        ("What time is it in Berlin?", ["current_time"]),
        ("What is 12*7, and what time is it in Berlin?", ["calculator", "current_time"]),
    ],
)
async def test_tools_are_called_and_metered(
    plane: Plane, fast: Any, tenant: Tenant, question: str, tools: list[str]
) -> None:
    told = await plane.streamed(fast.gateway, tenant, question)
    calls = [event.data for event in told if event.name == "tool_call"]
    assert [call["tool"] for call in calls if call["status"] == "started"] == tools
    assert [call["status"] for call in calls] == ["started", "ok"] * len(tools)
    assert told[1].name == "tool_call"
    answer = told[-1].data
    assert answer["usage"]["tool_calls"] == len(tools)
    assert ("84" in answer["output"]) == ("calculator" in tools)
    assert ("The current time is 20" in answer["output"]) == ("current_time" in tools)
    metered = await plane.log.of(answer["run_id"])
    assert [event.status for event in metered.runs] == ["started", "completed"]
    assert [event.tool for event in metered.tools] == tools
    assert {event.tool_call_id for event in metered.tools} == {call["tool_call_id"] for call in calls}
    assert set(metered.last_words()) == {f"{answer['run_id']}-1", f"{answer['run_id']}-2"}
    assert_agree(plane, answer, metered)
    await assert_provider_agrees(plane, fast, answer)


async def test_a_tool_that_fails_does_not_fail_the_run(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answer = (await plane.ask(fast.gateway, tenant, "What is 1/0?")).json
    assert answer["status"] == "completed"
    metered = await plane.log.of(answer["run_id"])
    assert [event.status for event in metered.tools] == ["error"]
    assert_agree(plane, answer, metered)


async def test_an_unknown_tool_of_an_instance_is_left_out(plane: Plane, fast: Any) -> None:
    other = await plane.tenant(tools=("teleporter", "calculator"))
    answer = (await plane.ask(fast.gateway, other, "Use the teleporter, and what is 2*21?")).json
    assert answer["status"] == "completed"
    assert "42" in answer["output"]
    assert answer["usage"]["tool_calls"] == 1


async def test_a_conversation_is_answered(plane: Plane, fast: Any, tenant: Tenant) -> None:
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello, how can I help?"},
        {"role": "user", "content": "What is 6*7?"},
    ]
    answered = await plane.post(fast.gateway, "/v1/runs", json={"messages": messages}, headers=tenant.headers)
    assert answered.status == 200
    assert "42" in answered.json["output"]


async def test_max_tokens_bounds_the_answer(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answer = (await plane.ask(fast.gateway, tenant, "A lot [[fault:length:500]]", max_tokens=9)).json
    assert answer["status"] == "completed"
    assert 1 <= answer["usage"]["tokens_out"] <= 9


async def test_a_long_stream_reports_as_it_goes(plane: Plane, fast: Any, tenant: Tenant) -> None:
    told = await plane.streamed(fast.gateway, tenant, "A long one [[fault:length:2000]]")
    answer = told[-1].data
    assert answer["usage"]["tokens_out"] == 2_000
    metered = await plane.log.of(answer["run_id"])
    growing = sorted(metered.tokens, key=lambda event: event.seq)
    assert len(growing) > 2
    assert [event.final for event in growing] == [False] * (len(growing) - 1) + [True]
    assert_agree(plane, answer, metered)


async def test_many_runs_at_once_are_all_metered(plane: Plane, fast: Any) -> None:
    other = await plane.tenant()
    answers = await asyncio.gather(
        *(plane.ask(fast.gateway, other, f"Question {n}: what is {n}*3?") for n in range(30))
    )
    metered = await plane.log.runs_of(other.instance_id)
    assert set(metered) == {answered.json["run_id"] for answered in answers}
    for answered in answers:
        assert_agree(plane, answered.json, metered[answered.json["run_id"]])


async def test_the_widget_key_names_its_channel(plane: Plane, fast: Any) -> None:
    origin = "https://shop.example.com"
    widget = await plane.tenant(kind="widget", allowed_origins=(origin,))
    answer = (await plane.ask(fast.gateway, widget, headers={"Origin": origin})).json
    assert {event.channel for event in (await plane.log.of(answer["run_id"])).everything} == {"widget"}


async def test_a_finished_run_can_be_read_again(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answer = (await plane.ask(fast.gateway, tenant)).json
    again = await plane.get(fast.gateway, f"/v1/runs/{answer['run_id']}", headers=tenant.headers)
    assert (again.status, again.json) == (200, answer)


async def test_the_document_lists_the_routes(plane: Plane, fast: Any) -> None:
    paths = (await plane.get(fast.gateway, "/openapi.json")).json["paths"]
    assert "post" in paths["/v1/runs"]
    assert "get" in paths["/v1/runs/{run_id}"]
    assert "post" in paths["/v1/runs/{run_id}/cancel"]
    body = paths["/v1/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"input", "messages", "stream", "model", "max_tokens"} <= set(body["properties"])
    assert "$ref" not in str(body)
