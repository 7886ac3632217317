"""Runs that are ended early, by request or because the client left: they are closed, and what they used is
metered."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
from gateway_log import Metered
from gateway_rig import Event, Plane, Service, Tenant, assert_problem, events
from waiting import PATIENCE_S

_LONG = "Tell me everything [[fault:length:800]]"  # ten seconds of the slow model


async def _cancelled_while_streaming(
    plane: Plane, gateway: Service, tenant: Tenant, through: Service
) -> list[Event]:
    """Cancel after three pieces; return the events."""
    told: list[Event] = []
    asked = False
    async with plane.streaming(gateway, tenant, _LONG) as response:
        async for event in events(response):
            told.append(event)
            if [e.name for e in told].count("message.delta") == 3 and not asked:
                asked = True
                path = f"/v1/runs/{told[0].data['run_id']}/cancel"
                answer = await plane.post(through, path, headers=tenant.headers)
                assert (answer.status, answer.json["status"]) == (202, "cancelling")
    return told


def _assert_partly_metered(metered: Metered) -> None:
    assert [event.status for event in metered.runs] == ["started", "cancelled"]
    assert metered.closing.tokens_in > 0
    assert metered.closing.tokens_out > 0
    assert metered.closing.credits_micro > 0
    (word,) = metered.last_words().values()
    assert (word.final, word.source) == (True, "partial")
    assert (word.input_uncached, word.output) == (metered.closing.tokens_in, metered.closing.tokens_out)


async def test_a_stream_is_cancelled(plane: Plane, slow: Any, tenant: Tenant) -> None:
    told = await _cancelled_while_streaming(plane, slow.gateway, tenant, slow.gateway)
    answer = told[-1].data
    assert told[-1].name == "run.cancelled"
    assert answer["error"]["code"] == "cancelled_by_request"
    assert answer["usage"]["tokens_out"] > 0
    shown = "".join(event.data["text"] for event in told if event.name == "message.delta")
    assert shown
    assert answer["output"].startswith(shown)
    metered = await plane.log.of(answer["run_id"])
    _assert_partly_metered(metered)
    (served,) = await plane.served(slow.provider, answer["run_id"])
    assert not served["finished"]
    assert answer["usage"]["tokens_in"] == served["prompt_tokens"]
    assert answer["usage"]["tokens_out"] <= served["completion_tokens"] + 4

    again = await plane.get(slow.gateway, f"/v1/runs/{answer['run_id']}", headers=tenant.headers)
    assert (again.status, again.json) == (200, answer)
    too_late = await plane.post(slow.gateway, f"/v1/runs/{answer['run_id']}/cancel", headers=tenant.headers)
    assert (too_late.status, too_late.json) == (200, answer)


async def test_another_gateway_cancels(plane: Plane, slow: Any, fast: Any, tenant: Tenant) -> None:
    told = await _cancelled_while_streaming(plane, slow.gateway, tenant, fast.gateway)
    assert told[-1].name == "run.cancelled"
    _assert_partly_metered(await plane.log.of(told[-1].data["run_id"]))
    again = await plane.get(fast.gateway, f"/v1/runs/{told[0].data['run_id']}", headers=tenant.headers)
    assert again.json == told[-1].data


async def test_a_run_in_flight_says_so(plane: Plane, slow: Any, fast: Any, tenant: Tenant) -> None:
    async with plane.streaming(slow.gateway, tenant, _LONG) as response:
        run_id = response.headers["X-Run-Id"]
        for gateway in (slow.gateway, fast.gateway):
            answer = await plane.get(gateway, f"/v1/runs/{run_id}", headers=tenant.headers)
            assert (answer.status, answer.json) == (200, {"run_id": run_id, "status": "running"})


async def test_a_run_without_a_stream_is_cancelled(plane: Plane, slow: Any) -> None:
    lonely = await plane.tenant()
    asking = asyncio.create_task(plane.ask(slow.gateway, lonely, _LONG))
    run_id = await _run_that_writes(plane, lonely)
    await plane.post(slow.gateway, f"/v1/runs/{run_id}/cancel", headers=lonely.headers)
    answered = await asyncio.wait_for(asking, PATIENCE_S)
    assert (answered.status, answered.json["status"]) == (200, "cancelled")
    _assert_partly_metered(await plane.log.of(run_id))


async def _run_that_writes(plane: Plane, tenant: Tenant) -> str:
    """Return the id of the tenant's only run once it has reported output."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for run_id, metered in (await plane.log.runs_of(tenant.instance_id)).items():
            if metered.tokens:
                return run_id
        await asyncio.sleep(0.02)
    raise AssertionError("no run wrote anything")


async def test_unknown_runs(plane: Plane, fast: Any, tenant: Tenant) -> None:
    for answer in (
        await plane.get(fast.gateway, "/v1/runs/run_none", headers=tenant.headers),
        await plane.post(fast.gateway, "/v1/runs/run_none/cancel", headers=tenant.headers),
    ):
        assert_problem(answer, 404, "unknown_run")


async def test_nobody_else_sees_or_cancels_a_run(plane: Plane, slow: Any, tenant: Tenant) -> None:
    foreign = await plane.tenant()
    async with plane.streaming(slow.gateway, tenant, "Short [[fault:length:60]]") as response:
        run_id = response.headers["X-Run-Id"]
        for moment in ("running", "finished"):
            path = f"/v1/runs/{run_id}"
            seen = await plane.get(slow.gateway, path, headers=foreign.headers)
            assert_problem(seen, 404, "unknown_run")
            cancelled = await plane.post(slow.gateway, f"{path}/cancel", headers=foreign.headers)
            assert_problem(cancelled, 404, "unknown_run")
            if moment == "running":
                assert [event async for event in events(response)][-1].name == "run.completed"


async def test_a_client_that_leaves_its_stream(plane: Plane, slow: Any, tenant: Tenant) -> None:
    async with plane.streaming(slow.gateway, tenant, _LONG) as response:
        run_id = response.headers["X-Run-Id"]
        async for event in events(response):
            if event.name == "message.delta":
                break
        response.close()
    metered = await plane.log.when(run_id, lambda run: run.closed, "the run is closed", 3)
    _assert_partly_metered(metered)
    assert metered.closing.error_code == "client_disconnected"


async def test_a_client_that_leaves_without_a_stream(plane: Plane, slow: Any) -> None:
    leaver = await plane.tenant()
    async with aiohttp.ClientSession() as http:
        asking = asyncio.create_task(
            http.post(f"{slow.gateway.url}/v1/runs", json={"input": _LONG}, headers=leaver.headers)
        )
        run_id = await _run_that_writes(plane, leaver)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    metered = await plane.log.when(run_id, lambda run: run.closed, "the run is closed", 3)
    _assert_partly_metered(metered)
    assert metered.closing.error_code == "client_disconnected"


async def test_a_stream_that_ended_leaves_no_complaint(plane: Plane, fast: Any, tenant: Tenant) -> None:
    await plane.streamed(fast.gateway, tenant, "Hello there")
    assert "unhandled error" not in fast.gateway.log()
    assert '"level":"error"' not in fast.gateway.log()
