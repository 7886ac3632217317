"""Repeating a request with the same Idempotency-Key: one run, one answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway_log import Metered, until
from gateway_rig import Plane, Tenant, assert_problem, events

from kit import clock
from kit.clock import new_id
from schemas import keys


def _key() -> dict[str, str]:
    return {"Idempotency-Key": new_id("order")}


async def _the_only_run(plane: Plane, tenant: Tenant) -> Metered:
    """Assert that the tenant has exactly one run, opened once; its closing may be repeated, identically."""
    ((_, metered),) = (await plane.log.runs_of(tenant.instance_id)).items()
    assert [event.status for event in metered.runs].count("started") == 1
    assert metered.closing.status == "completed"
    # The slow side also reports while it runs; there is one call, and one final word on it.
    assert len(metered.last_words()) == 1
    assert [event.final for event in metered.tokens].count(True) == 1
    return metered


async def test_a_repeated_request_gets_the_first_answer(plane: Plane, fast: Any) -> None:
    other, key = await plane.tenant(), _key()
    first = await plane.ask(fast.gateway, other, headers=key)
    second = await plane.ask(fast.gateway, other, headers=key)
    assert (first.status, second.status) == (200, 200)
    assert second.json == first.json
    assert second.headers["Idempotent-Replay"] == "true"
    assert "Idempotent-Replay" not in first.headers
    metered = await _the_only_run(plane, other)
    assert metered.closing.run_id == first.json["run_id"]


async def test_another_gateway_knows_the_key_too(plane: Plane, fast: Any, slow: Any) -> None:
    other, key = await plane.tenant(), _key()
    first = await plane.ask(fast.gateway, other, headers=key)
    second = await plane.ask(slow.gateway, other, headers=key)
    assert second.json == first.json
    await _the_only_run(plane, other)


async def test_another_body_conflicts(plane: Plane, fast: Any) -> None:
    other, key = await plane.tenant(), _key()
    await plane.ask(fast.gateway, other, "One question", headers=key)
    assert_problem(
        await plane.ask(fast.gateway, other, "Another one", headers=key), 409, "idempotency_conflict"
    )
    await _the_only_run(plane, other)


async def test_a_key_belongs_to_its_instance(plane: Plane, fast: Any) -> None:
    one, two, key = await plane.tenant(), await plane.tenant(), _key()
    first = await plane.ask(fast.gateway, one, headers=key)
    second = await plane.ask(fast.gateway, two, headers=key)
    assert first.json["run_id"] != second.json["run_id"]


async def test_requests_without_a_key_are_runs_of_their_own(plane: Plane, fast: Any) -> None:
    other = await plane.tenant()
    for _ in range(2):
        await plane.ask(fast.gateway, other)
    assert len(await plane.log.runs_of(other.instance_id)) == 2


@pytest.mark.parametrize("both", [False, True], ids=["one gateway", "two gateways"])
async def test_fifty_at_once_are_one_run(plane: Plane, fast: Any, slow: Any, both: bool) -> None:
    other, key = await plane.tenant(), _key()
    gateways = [fast.gateway, slow.gateway if both else fast.gateway]
    answers = await asyncio.gather(
        *(plane.ask(gateways[n % 2], other, "Short [[fault:length:20]]", headers=key) for n in range(50))
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert sum("Idempotent-Replay" not in answer.headers for answer in answers) == 1
    await _the_only_run(plane, other)


async def test_a_stream_is_replayed(plane: Plane, fast: Any) -> None:
    other, key = await plane.tenant(), _key()
    told = []
    for _ in range(2):
        async with plane.streaming(fast.gateway, other, "Which plans are there?", headers=key) as response:
            told.append([event async for event in events(response)])
            replayed = response.headers.get("Idempotent-Replay")
    first, second = told
    assert replayed == "true"
    assert [event.name for event in second] == ["run.started", "message.delta", "run.completed"]
    assert second[0] == first[0]
    assert second[-1] == first[-1]
    assert second[1].data["text"] == first[-1].data["output"]
    await _the_only_run(plane, other)


async def test_a_failed_run_is_not_run_again(plane: Plane, fast: Any) -> None:
    other, key = await plane.tenant(), _key()
    first = await plane.ask(fast.gateway, other, "Hello [[fault:cut:3]]", headers=key)
    second = await plane.ask(fast.gateway, other, "Hello [[fault:cut:3]]", headers=key)
    assert (first.status, second.status) == (502, 502)
    assert second.json == first.json
    assert len(await plane.log.runs_of(other.instance_id)) == 1


async def test_a_dead_attempt_is_taken_over(plane: Plane, slow: Any, fast: Any) -> None:
    other, key = await plane.tenant(), _key()
    dying = await plane.gateway(slow.runner, GATEWAY_LEASE_MS="1000")
    text = "Hello [[fault:length:200]]"
    async with plane.streaming(dying, other, text, headers=key) as response:
        first = response.headers["X-Run-Id"]
        await dying.kill()
        response.close()

    async def overdue() -> bool:
        due = await plane.redis.zscore(keys.leases(other.partition), first)
        return due < clock.now_ms()

    await until(overdue, "the lease of the dead gateway ends", 3)
    second = await plane.ask(fast.gateway, other, text, headers=key, stream=True)
    assert second.status == 200
    assert "Idempotent-Replay" not in second.headers
    assert second.headers["X-Run-Id"] != first


async def test_who_waits_for_a_dead_attempt_takes_it_over(plane: Plane, slow: Any, fast: Any) -> None:
    other, key = await plane.tenant(), _key()
    dying = await plane.gateway(slow.runner, GATEWAY_LEASE_MS="2000")
    text = "Hello [[fault:length:300]]"
    first_attempt = asyncio.create_task(plane.ask(dying, other, text, headers=key))
    record = keys.idempotency(other.partition, other.instance_id, key["Idempotency-Key"])

    async def admitted() -> str:
        return (await plane.redis.hget(record, "run_id") or b"").decode()

    first = await until(admitted, "the first attempt is admitted")
    await dying.kill()
    await asyncio.gather(first_attempt, return_exceptions=True)
    due = await plane.redis.zscore(keys.leases(other.partition), first)
    assert due > clock.now_ms()
    waiting = [asyncio.create_task(plane.ask(fast.gateway, other, text, headers=key)) for _ in range(10)]
    answers = await asyncio.gather(*waiting)
    assert clock.now_ms() >= due
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].json["run_id"] != first
    assert sum("Idempotent-Replay" not in answer.headers for answer in answers) == 1
