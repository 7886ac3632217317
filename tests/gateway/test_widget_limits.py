"""How often visitors, addresses and keys may begin sessions and runs: on all gateways together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gateway_rig import Answered, Plane, assert_problem
from widget_rig import NO_LIMITS, ORIGIN, page, stopped

from gateway.errors import WidgetRateLimited
from gateway.keys import Caller
from gateway.widget.limits import WidgetLimits
from kit import clock
from kit.settings import WidgetSettings
from metering.limits import rate
from schemas.directory import ApiKeyRecord, InstanceRecord

_SECRET = b"a secret"


def limited(**most: str) -> dict[str, str]:
    return {**NO_LIMITS, **{f"WIDGET_{name}": value for name, value in most.items()}}


def assert_limited(answer: Answered, limit: str) -> int:
    problem = assert_problem(answer, 429, "widget_rate_limited")
    assert problem["limit"] == limit
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    wait = int(answer.headers["Retry-After"])
    assert wait >= 1
    return wait


async def test_a_visitor_runs_so_often_on_all_gateways(plane: Plane, fast: Any) -> None:
    most = limited(RUNS_PER_VISITOR_PER_MINUTE="3")
    gateways = [await plane.gateway(fast.runner, **most) for _ in range(2)]
    shop = await page(plane, gateways[0])
    token, other = [(await shop.session())["session_token"] for _ in range(2)]

    answers = [await shop.at(gateways[n % 2]).run(token) for n in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert assert_limited(answers[-1], "runs_per_visitor") <= 20
    assert (await shop.run(other)).status == 200
    await stopped(*gateways)


async def test_a_visitor_rates_so_often(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(fast.runner, **limited(RUNS_PER_VISITOR_PER_MINUTE="2"))
    shop = await page(plane, gateway)
    token, other = [(await shop.session())["session_token"] for _ in range(2)]
    run_id = (await shop.run(token)).json["run_id"]

    async def rated(by: str) -> Answered:
        return await plane.post(
            gateway,
            f"/v1/runs/{run_id}/feedback",
            json={"rating": "up"},
            headers=shop.headers(Authorization=f"Bearer {by}"),
        )

    answers = [await rated(token) for _ in range(3)]
    # They are no runs: those are counted apart.
    assert (await shop.run(token)).status == 200
    assert [answer.status for answer in answers] == [202, 202, 429]
    assert_limited(answers[-1], "feedback_per_visitor")
    assert (await rated(other)).status == 404
    await gateway.stop()


async def test_an_address_runs_so_often_whoever_it_is(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(fast.runner, **limited(RUNS_PER_ADDRESS_PER_MINUTE="2"))
    shop = await page(plane, gateway)
    sessions = [(await shop.session())["session_token"] for _ in range(3)]

    statuses = [(await shop.run(token)).status for token in sessions]
    raw = await plane.ask(gateway, shop.tenant, headers=shop.headers())

    assert statuses == [200, 200, 429]
    assert_limited(raw, "runs_per_address")
    elsewhere = await page(plane, gateway)
    assert (await elsewhere.run((await elsewhere.session())["session_token"])).status == 200
    await gateway.stop()


async def test_an_address_cannot_be_made_up(plane: Plane, fast: Any) -> None:
    most = limited(SESSIONS_PER_ADDRESS_PER_MINUTE="2")
    plain = await plane.gateway(fast.runner, **most)
    behind = await plane.gateway(fast.runner, GATEWAY_TRUSTED_PROXIES="127.0.0.1", **most)
    shop, proxied = await page(plane, plain), await page(plane, behind)

    forged = [await shop.init(X_Forwarded_For=f"203.0.113.{n}") for n in range(3)]
    honest = [await proxied.init(X_Forwarded_For=f"203.0.113.{n}") for n in range(3)]
    # What the client wrote stands left of what the proxy says.
    lying = [await proxied.init(X_Forwarded_For=f"198.51.100.{n}, 203.0.113.77") for n in range(3)]

    assert [answer.status for answer in forged] == [200, 200, 429]
    assert_limited(forged[-1], "sessions_per_address")
    assert [answer.status for answer in honest] == [200] * 3
    assert [answer.status for answer in lying] == [200, 200, 429]
    await stopped(plain, behind)


async def test_a_visitor_begins_and_refreshes_so_many_sessions(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(fast.runner, **limited(SESSIONS_PER_VISITOR_PER_MINUTE="2"))
    shop = await page(plane, gateway)
    first = await shop.session()

    again = await shop.init({"visitor_token": first["visitor_token"]})
    refreshed = await shop.refresh(first["session_token"])
    too_often = await shop.refresh(first["session_token"])

    assert (again.status, refreshed.status) == (200, 200)
    assert_limited(too_often, "sessions_per_visitor")
    await gateway.stop()


async def test_a_key_has_so_many_a_day(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(
        fast.runner, **limited(SESSIONS_PER_KEY_PER_DAY="2", RUNS_PER_KEY_PER_DAY="1")
    )
    shop = await page(plane, gateway)
    token = (await shop.session())["session_token"]
    await shop.session()

    assert assert_limited(await shop.init(), "sessions_per_key") > 3_600
    assert (await shop.run(token)).status == 200
    assert assert_limited(await shop.run(token), "runs_per_key") > 3_600
    await gateway.stop()


async def test_no_address_is_stored(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(fast.runner, GATEWAY_TRUSTED_PROXIES="127.0.0.1")
    shop = await page(plane, gateway)
    token = (await shop.session(X_Forwarded_For="203.0.113.200"))["session_token"]
    assert (await shop.run(token, {"X-Forwarded-For": "203.0.113.200"})).status == 200

    found = [key async for key in plane.redis.scan_iter(f"*widget_rate:{shop.tenant.key_record.key_id}:*")]

    assert len(found) == 5  # of sessions: address, key; of runs: visitor, address, key
    assert not any(b"203.0.113" in key for key in found)
    for key in found:
        assert 0 < await plane.redis.pttl(key) <= 86_400_000
    await gateway.stop()


async def test_a_bad_request_takes_nothing(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(fast.runner, **limited(RUNS_PER_VISITOR_PER_MINUTE="1"))
    shop = await page(plane, gateway)
    token = (await shop.session())["session_token"]

    bad = [await shop.run(token, input="") for _ in range(3)]

    assert {answer.status for answer in bad} == {422}
    assert (await shop.run(token)).status == 200
    await gateway.stop()


def caller(plane: Plane, key_id: str) -> Caller:
    owner = {"tenant_id": "t", "org_id": "o", "instance_id": "i"}
    instance = InstanceRecord(name="n", status="active", default_model="m", models=("m",), **owner)
    return Caller(ApiKeyRecord(key_id=key_id, kind="widget", **owner), instance, plane.book, 3, "vis_1")


async def test_the_script_is_the_rate_of_metering(plane: Plane) -> None:
    """Whatever the times between requests: the script lets through what the pure function does."""
    now_ms, key = clock.now_ms(), clock.new_id("key")
    now = [now_ms]
    most = WidgetSettings(
        runs_per_visitor_per_minute=7, runs_per_address_per_minute=0, runs_per_key_per_day=0
    )
    limits = WidgetLimits(plane.redis, most, lambda: now[0])
    arrival, allowed, refused = 0, 0, 0
    for step in range(200):
        now[0] += (step * 7919) % 11_000
        wanted = rate(arrival, now[0] * 1000, 1, 7)
        arrival = wanted.arrival_us
        if wanted.allowed:
            allowed += 1
            await limits.take("runs", caller(plane, key), "203.0.113.1", _SECRET)
            continue
        refused += 1
        with pytest.raises(WidgetRateLimited) as told:
            await limits.take("runs", caller(plane, key), "203.0.113.1", _SECRET)
        assert int(told.value.headers["Retry-After"]) == -(-wanted.retry_after_us // 1_000_000)
    assert allowed > 50
    assert refused > 10


async def test_what_one_rate_refuses_takes_nothing_of_the_others(plane: Plane) -> None:
    now, key = clock.now_ms(), clock.new_id("key")
    most = WidgetSettings(
        runs_per_visitor_per_minute=1, runs_per_address_per_minute=3, runs_per_key_per_day=0
    )
    limits = WidgetLimits(plane.redis, most, lambda: now)
    visitors = [replace(caller(plane, key), visitor=f"vis_{n}") for n in range(4)]
    await limits.take("runs", visitors[0], "203.0.113.1", _SECRET)
    for _ in range(5):
        with pytest.raises(WidgetRateLimited) as refused:
            await limits.take("runs", visitors[0], "203.0.113.1", _SECRET)
        assert refused.value.extra["limit"] == "runs_per_visitor"

    await limits.take("runs", visitors[1], "203.0.113.1", _SECRET)
    await limits.take("runs", visitors[2], "203.0.113.1", _SECRET)
    with pytest.raises(WidgetRateLimited) as refused:
        await limits.take("runs", visitors[3], "203.0.113.1", _SECRET)
    assert refused.value.extra["limit"] == "runs_per_address"
