"""Rates, caps and ceilings of an instance, as its clients see them; Redis away where the plan fails open."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
from containers import free_ports
from gateway_log import until
from gateway_rig import Plane, Service, Tenant, assert_problem, events, micro
from kafka_gate import KafkaGate

from metering.windows import start_of
from schemas import keys
from schemas.directory import Limits, LimitState

_RATE_LIMIT = re.compile(r'"requests";r=\d+;t=\d+, "tokens";r=\d+;t=\d+')


async def test_rates_are_told_on_every_answer(plane: Plane, fast: Any) -> None:
    rated = await plane.tenant(limits=Limits(requests_per_minute=3, tokens_per_minute=100_000))
    for left in (2, 1):
        answer = await plane.ask(fast.gateway, rated)
        assert answer.status == 200
        assert _RATE_LIMIT.fullmatch(answer.headers["RateLimit"])
        assert answer.headers["RateLimit"].startswith(f'"requests";r={left};')
    async with plane.streaming(fast.gateway, rated, "Hello") as response:
        policy = '"requests";q=3;w=60, "tokens";q=100000;w=60;qu="tokens"'
        assert response.headers["RateLimit-Policy"] == policy
        assert response.headers["RateLimit"].startswith('"requests";r=0;')
        assert [event async for event in events(response)][-1].name == "run.completed"
    refused = await plane.ask(fast.gateway, rated)
    problem = assert_problem(refused, 429, "rate_limited")
    assert problem["limit"] == "requests"
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert refused.headers["RateLimit"].startswith('"requests";r=0;')
    assert len(await plane.log.runs_of(rated.instance_id)) == 3


async def test_without_rates_nothing_is_told_of_them(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answer = await plane.ask(fast.gateway, tenant)
    assert "RateLimit" not in answer.headers
    assert "RateLimit-Policy" not in answer.headers


async def test_a_token_rate_shortens_what_it_could_never_let_through(plane: Plane, fast: Any) -> None:
    rated = await plane.tenant(limits=Limits(tokens_per_minute=400))
    answer = await plane.ask(fast.gateway, rated, "A lot [[fault:length:900]]")
    assert answer.status == 200
    usage = answer.json["usage"]
    assert usage["tokens_out"] > 16
    assert usage["tokens_in"] + usage["tokens_out"] <= 400
    refused = await plane.ask(fast.gateway, rated)
    assert assert_problem(refused, 429, "rate_limited")["limit"] == "tokens"


async def test_only_so_many_runs_at_once(plane: Plane, slow: Any, fast: Any) -> None:
    narrow = await plane.tenant(limits=Limits(max_concurrent_runs=1))
    async with plane.streaming(slow.gateway, narrow, "Hello [[fault:length:200]]") as response:
        assert response.status == 200
        for gateway in (slow.gateway, fast.gateway):
            refused = await plane.ask(gateway, narrow)
            assert assert_problem(refused, 429, "limit_exceeded")["limit"] == "concurrent_runs"
            assert refused.headers["Retry-After"] == "1"


async def test_a_cap_says_when_it_starts_anew(plane: Plane, fast: Any) -> None:
    capped = await plane.tenant(limits=Limits(daily_cap_micro=1_000_000))
    answer = await plane.ask(fast.gateway, capped, max_tokens=100)
    assert answer.status == 200
    at_ms = (await plane.log.of(answer.json["run_id"])).closing.started_at_ms
    day = keys.counter(capped.partition, capped.instance_id, "day", start_of("day", at_ms))
    await plane.redis.hset(day, "charged", "1000000")
    problem = assert_problem(await plane.ask(fast.gateway, capped), 402, "insufficient_credits")
    assert (problem["limit_source"], problem["reason"]) == ("instance_day", "insufficient_credits")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT00:00:00Z", problem["resets_at"])
    assert problem["remedy"]


async def test_a_request_that_is_too_large_is_told_so(plane: Plane, fast: Any) -> None:
    strict = await plane.tenant(limits=Limits(cap_output=False), credits_micro=0)
    refused = await plane.ask(fast.gateway, strict, max_tokens=4_000)
    needed = micro(refused.json["needed_credits"])
    await plane.leave(strict, needed - 1)
    problem = assert_problem(
        await plane.ask(fast.gateway, strict, max_tokens=4_000), 402, "insufficient_credits"
    )
    assert problem["reason"] == "request_too_large"
    assert "max_tokens" in problem["remedy"]
    await plane.leave(strict, needed)
    assert (await plane.ask(fast.gateway, strict, max_tokens=4_000)).status == 200


async def test_an_answer_is_shortened_to_what_can_be_paid(plane: Plane, fast: Any) -> None:
    modest = await plane.tenant(credits_micro=0, tools=())
    needed = micro((await plane.ask(fast.gateway, modest, max_tokens=40)).json["needed_credits"])
    await plane.leave(modest, needed)
    answer = await plane.ask(fast.gateway, modest, "What are your opening hours? [[fault:length:900]]")
    assert answer.status == 200
    assert 16 <= answer.json["usage"]["tokens_out"] <= 40
    assert micro(answer.json["usage"]["credits"]) <= sum((await plane.held(modest)).values()) <= needed


async def test_a_soft_wallet_goes_into_debt_to_its_ceiling(plane: Plane, fast: Any) -> None:
    probe = await plane.tenant(credits_micro=0)
    needed = micro((await plane.ask(fast.gateway, probe, max_tokens=50)).json["needed_credits"])
    limits = Limits(soft=True, overage_micro=2 * needed, cap_output=False)
    soft = await plane.tenant(credits_micro=0, limits=limits)
    statuses = [(await plane.ask(fast.gateway, soft, max_tokens=50)).status for _ in range(3)]
    assert statuses == [200, 200, 402]


async def _gated(plane: Plane, upstream: Service, **settings: str) -> tuple[KafkaGate, Service]:
    """Return a gateway whose way to Redis can be shut."""
    address, _, database = plane.redis_url.removeprefix("redis://").partition("/")
    gate = KafkaGate(address, free_ports("gate")["gate"])
    await gate.open()
    url = f"redis://{gate.address}/{database}"
    return gate, await plane.gateway(upstream, REDIS_URL=url, **settings)


async def test_without_redis_a_plan_that_fails_open_runs_unchecked(plane: Plane, fast: Any) -> None:
    gate, gateway = await _gated(plane, fast.runner, GATEWAY_KEY_STALE_TTL_MS="3000")
    open_one = await plane.tenant(limits=Limits(fail_open=True))
    strict = await plane.tenant()
    try:
        for known in (open_one, strict):
            assert (await plane.ask(gateway, known)).status == 200
        held = await plane.held(open_one)
        await gate.close()
        assert_problem(await plane.ask(gateway, strict), 503, "limits_unavailable")
        answer = await plane.ask(gateway, open_one, "What is 6*7?")
        assert answer.status == 200
        assert answer.json["usage"]["tool_calls"] == 1
        metered = await plane.log.of(answer.json["run_id"])
        assert (metered.closing.status, len(metered.tools)) == ("completed", 1)
        assert metered.closing.credits_micro == micro(answer.json["usage"]["credits"]) > 0
        assert await plane.held(open_one) == held
        assert '"message":"admitted unchecked"' in gateway.log()
        text = (await plane.get(gateway, "/metrics")).body.decode()
        assert "runmeter_gateway_fail_open_admissions_total 1.0" in text

        async def forgotten() -> bool:
            return (await plane.ask(gateway, open_one)).status == 503

        await until(forgotten, "a cached key is good for a bounded time", 6)
    finally:
        await gate.close()
        await gateway.stop()


async def test_an_unchecked_run_is_cut_when_its_wallet_runs_out(plane: Plane, slow: Any) -> None:
    gate, gateway = await _gated(plane, slow.runner)
    debtor = await plane.tenant(limits=Limits(fail_open=True))
    try:
        assert (await plane.ask(gateway, debtor, "Hello [[fault:length:4]]")).status == 200
        await gate.close()
        async with plane.streaming(gateway, debtor, "Hello [[fault:length:1500]]") as response:
            assert response.status == 200
            await gate.open()
            reading = asyncio.create_task(_last_event(response))
            version = 0

            async def cut() -> bool:
                nonlocal version
                version += 1
                state = LimitState(
                    org_id=debtor.org_id, version=version, balance_micro=50, available_micro=-1
                )
                await plane.redis.publish(keys.LIMIT_CHANNEL, _json(state))
                return reading.done()

            await until(cut, "the run that holds nothing is cut", 8)
        assert (await reading).name == "run.limit_exceeded"
    finally:
        await gate.close()
        await gateway.stop()


async def test_a_step_that_cannot_be_checked_ends_the_run(plane: Plane, slow: Any) -> None:
    gate, gateway = await _gated(plane, slow.runner)
    strict = await plane.tenant()
    try:
        async with plane.streaming(gateway, strict, "What is 12*7?") as response:
            assert response.status == 200
            await gate.close()  # long before the slow model has asked for its tool
            last = await _last_event(response)
        assert (last.name, last.data["error"]["code"]) == ("run.failed", "limits_unavailable")
        metered = await plane.log.of(last.data["run_id"])
        assert (metered.closing.status, metered.tools) == ("failed", [])
        assert metered.closing.credits_micro > 0
    finally:
        await gate.close()
        await gateway.stop()


async def _last_event(response: Any) -> Any:
    return [event async for event in events(response)][-1]


def _json(state: LimitState) -> bytes:
    return msgspec.json.encode(state)


async def test_admissions_are_counted(plane: Plane, fast: Any) -> None:
    poor = await plane.tenant(credits_micro=0)
    await plane.ask(fast.gateway, poor)
    text = (await plane.get(fast.gateway, "/metrics")).body.decode()
    for name in (
        'runmeter_gateway_admissions_total{outcome="admitted"}',
        'runmeter_gateway_admissions_total{outcome="insufficient"}',
        'runmeter_gateway_holds_refused_total{limit_source="org_wallet"}',
        "runmeter_gateway_admission_seconds_count",
    ):
        (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.M)
        assert float(value) >= 1
    assert "runmeter_gateway_runs_in_flight 0.0" in text
