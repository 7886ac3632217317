"""The scripts that admit and extend: what may be held, at which moment, and what a refusal leaves alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from admission_rig import NOON_MS, PARTITION, Wicket, hold
from containers import redis_at
from redis.asyncio import Redis

from gateway.admission import NotExtended
from gateway.errors import InsufficientCredits, RateLimited, TooManyRuns
from kit import redis_client
from metering.limits import rate
from schemas import keys
from schemas.directory import Limits

_HOUR_MS = 3_600_000


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_at(redis_url))
    yield client
    await client.aclose()


async def _refused(asking: Any) -> dict[str, Any]:
    with pytest.raises(InsufficientCredits) as caught:
        await asking
    return {**caught.value.extra, "detail": caught.value.detail}


async def test_a_hold_stands_everywhere_at_once(redis: Redis) -> None:
    wicket = Wicket(redis)
    await wicket.wallet(balance=100)
    admitted = await wicket.admit(hold(60))
    assert (admitted.outcome, admitted.held_micro, admitted.available_micro) == ("admitted", 60, 40)
    assert await wicket.held() == 60
    assert await redis.zscore(keys.leases(PARTITION), admitted.run_id) == NOON_MS + 15_000
    refusal = await _refused(wicket.admit(hold(41)))
    assert (refusal["reason"], refusal["limit_source"]) == ("request_too_large", "org_wallet")
    assert (refusal["available_credits"], refusal["needed_credits"]) == ("0.000040", "0.000041")
    assert await wicket.held() == 60
    await wicket.admit(hold(40))
    refusal = await _refused(wicket.admit(hold(1)))
    assert refusal["reason"] == "insufficient_credits"


async def test_less_is_held_where_a_shorter_answer_will_do(redis: Redis) -> None:
    wicket = Wicket(redis)
    await wicket.wallet(balance=100)
    assert (await wicket.admit(hold(60, 10))).held_micro == 60
    assert (await wicket.admit(hold(60, 10))).held_micro == 40
    await _refused(wicket.admit(hold(60, 10)))
    assert await wicket.held() == 100


async def test_a_wallet_nobody_knows_is_empty(redis: Redis) -> None:
    refusal = await _refused(Wicket(redis).admit(hold(1)))
    assert refusal["available_credits"] == "0.000000"


async def test_a_bucket_that_expires_is_not_spent_after_it(redis: Redis) -> None:
    wicket = Wicket(redis)
    await wicket.wallet(balance=100, schedule=f"{NOON_MS + 1_000}:-70;{NOON_MS + 2_000}:5")
    await wicket.admit(hold(90))
    wicket.now_ms += 1_000
    assert (await _refused(wicket.admit(hold(1))))["available_credits"] == "0.000000"
    other = Wicket(redis)
    await other.wallet(balance=100, schedule=f"{NOON_MS + 1_000}:-70;{NOON_MS + 2_000}:5")
    other.now_ms += 999
    assert (await other.admit(hold(1))).available_micro == 99
    other.now_ms += 1
    assert (await other.admit(hold(1))).available_micro == 28
    other.now_ms += 1_000
    assert (await other.admit(hold(1))).available_micro == 32


async def test_a_grant_that_begins_later_is_not_spent_before_it(redis: Redis) -> None:
    wicket = Wicket(redis)
    await wicket.wallet(balance=0, schedule=f"{NOON_MS + 1_000}:50")
    await _refused(wicket.admit(hold(50)))
    wicket.now_ms += 1_000
    assert (await wicket.admit(hold(50))).available_micro == 0


async def test_a_soft_limit_is_the_ceiling_of_debt(redis: Redis) -> None:
    wicket = Wicket(redis, Limits(soft=True, overage_micro=30))
    await wicket.wallet(balance=10)
    await wicket.admit(hold(40))
    await _refused(wicket.admit(hold(1)))
    hard = Wicket(redis, Limits(overage_micro=30))
    await hard.wallet(balance=10)
    await _refused(hard.admit(hold(11)))
    indebted = Wicket(redis, Limits(soft=True, overage_micro=30))
    await indebted.wallet(balance=-25)
    assert (await indebted.admit(hold(50, 1))).held_micro == 5


@pytest.mark.parametrize(
    ("cap", "source", "window", "resets_at"),
    [
        ("daily_cap_micro", "instance_day", "day", "2026-02-01T00:00:00Z"),
        ("monthly_cap_micro", "instance_month", "month", "2026-02-01T00:00:00Z"),
    ],
)
async def test_caps_count_what_is_charged_and_what_is_held(
    redis: Redis, cap: str, source: str, window: str, resets_at: str
) -> None:
    wicket = Wicket(redis, Limits(**{cap: 100}))
    await wicket.wallet(balance=1_000)
    await wicket.charged(window, 50)
    first = await wicket.admit(hold(30))
    refusal = await _refused(wicket.admit(hold(21)))
    assert (refusal["limit_source"], refusal["resets_at"]) == (source, resets_at)
    assert refusal["available_credits"] == "0.000020"
    await wicket.settle(first.run_id, 5)
    await wicket.charged(window, 55)
    await wicket.admit(hold(45))
    assert (await _refused(wicket.admit(hold(1))))["reason"] == "insufficient_credits"
    wicket.now_ms += 12 * _HOUR_MS  # another day, and another month
    assert (await wicket.admit(hold(30))).held_micro == 30


async def test_the_nearest_limit_is_named(redis: Redis) -> None:
    wicket = Wicket(redis, Limits(daily_cap_micro=50, monthly_cap_micro=20))
    await wicket.wallet(balance=100)
    assert (await _refused(wicket.admit(hold(30))))["limit_source"] == "instance_month"
    await wicket.wallet(balance=10)
    assert (await _refused(wicket.admit(hold(30))))["limit_source"] == "org_wallet"


async def test_only_so_many_run_at_once(redis: Redis) -> None:
    wicket = Wicket(redis, Limits(max_concurrent_runs=2))
    await wicket.wallet(balance=100)
    first = await wicket.admit(hold(1))
    await wicket.admit(hold(1))
    with pytest.raises(TooManyRuns) as caught:
        await wicket.admit(hold(1))
    assert caught.value.headers["Retry-After"] == "1"
    await wicket.settle(first.run_id, 1)
    await wicket.admit(hold(1))


async def test_a_refusal_takes_no_rate_allowance(redis: Redis) -> None:
    wicket = Wicket(redis, Limits(requests_per_minute=2, tokens_per_minute=100))
    await wicket.wallet(balance=0)
    for _ in range(5):
        await _refused(wicket.admit(hold(10)))
    await wicket.wallet(balance=1_000)
    for _ in range(5):  # the tokens do not suffice: the requests stay
        with pytest.raises(RateLimited) as caught:
            await wicket.admit(hold(101))
        assert "Retry-After" not in caught.value.headers
        assert caught.value.headers["RateLimit"] == '"requests";r=2;t=0, "tokens";r=100;t=0'
    admitted = await wicket.admit(hold(10, tokens=20))
    assert admitted.headers == {
        "RateLimit": '"requests";r=1;t=30, "tokens";r=70;t=18',
        "RateLimit-Policy": '"requests";q=2;w=60, "tokens";q=100;w=60;qu="tokens"',
    }
    await wicket.admit(hold(10))
    with pytest.raises(RateLimited) as caught:
        await wicket.admit(hold(10))
    assert caught.value.headers["Retry-After"] == "30"
    assert caught.value.extra["limit"] == "requests"
    wicket.now_ms += 30_000
    await wicket.admit(hold(10))


async def test_tokens_are_counted_as_far_as_they_are_paid(redis: Redis) -> None:
    wicket = Wicket(redis, Limits(tokens_per_minute=1_000))
    await wicket.wallet(balance=60)
    admitted = await wicket.admit(hold(100, 10))
    assert admitted.held_micro == 60
    assert '"tokens";r=940;' in admitted.headers["RateLimit"]


@pytest.mark.parametrize("seed", range(5))
async def test_rates_are_those_of_the_pure_function(redis: Redis, seed: int) -> None:
    chance = random.Random(seed)
    requests, tokens = 7 + seed, 300 + 17 * seed
    wicket = Wicket(redis, Limits(requests_per_minute=requests, tokens_per_minute=tokens))
    await wicket.wallet(balance=10**9)
    at_requests = at_tokens = 0
    for _ in range(150):
        wicket.now_ms += chance.choice([0, chance.randint(0, 300), chance.randint(0, 90_000)])
        cost = chance.randint(1, 120)
        now_us = wicket.now_ms * 1_000
        by_requests = rate(at_requests, now_us, 1, requests)
        by_tokens = rate(at_tokens, now_us, cost, tokens)
        expected = by_requests.allowed and by_tokens.allowed
        try:
            headers = (await wicket.admit(hold(cost))).headers
            assert expected
            at_requests, at_tokens = by_requests.arrival_us, by_tokens.arrival_us
            left, reset = by_requests.remaining, by_requests.reset_us
        except RateLimited as refused:
            headers = refused.headers
            assert not expected
            first = by_tokens if by_requests.allowed else by_requests
            assert headers["Retry-After"] == str(max(1, -(-first.retry_after_us // 1_000_000)))
            unchanged = max(at_requests, now_us) - now_us
            left, reset = max(0, 60_000_000 - unchanged) * requests // 60_000_000, unchanged
        assert headers["RateLimit"].startswith(f'"requests";r={left};t={-(-reset // 1_000_000)}, ')


async def test_scarce_credits_are_held_for_answers_as_they_usually_are(redis: Redis) -> None:
    wicket = Wicket(redis)
    await wicket.wallet(balance=10_000)
    usual = {"typical": 12, "tight": 10}
    assert (await wicket.admit(hold(1_000, 2, **usual))).held_micro == 1_000
    await wicket.wallet(balance=1_000 + 3_999)
    assert (await wicket.admit(hold(1_000, 2, **usual))).held_micro == 12
    # Nearly spent: ten runs share what there is, and nothing is left over.
    await wicket.wallet(balance=1_012 + 105)
    held = [(await wicket.admit(hold(1_000, 2, **usual))).held_micro for _ in range(10)]
    assert min(held) >= 10
    assert sum(held) <= 105
    remaining = 105 - sum(held)
    if remaining >= 2:
        assert (await wicket.admit(hold(1_000, 2, **usual))).held_micro == remaining


async def test_any_number_at_once_never_hold_more_than_there_is(redis: Redis) -> None:
    wicket = Wicket(redis)
    await wicket.wallet(balance=1_000)
    asking = [wicket.admit(hold(n, max(1, n // 3), typical=n // 2 + 1, tight=n // 2)) for n in range(10, 110)]
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert await wicket.held() <= 1_000
    assert all(not isinstance(one, BaseException) or isinstance(one, InsufficientCredits) for one in told)


async def test_a_hold_grows_with_its_run(redis: Redis) -> None:
    wicket = Wicket(redis, Limits(daily_cap_micro=95))
    await wicket.wallet(balance=100)
    run_id = (await wicket.admit(hold(40))).run_id
    assert await wicket.extend(run_id, 10, 30) == 30
    assert await wicket.held() == 70
    assert await wicket.extend(run_id, 10, 30) == 25
    assert await wicket.extend(run_id, 1, 30) == NotExtended("instance_day", 0)
    assert await wicket.extend(run_id, -20, -10) == 0
    assert await wicket.held() == 95
    await wicket.wallet(balance=50)
    assert await wicket.extend(run_id, 1, 1) == NotExtended("org_wallet", -45)
    assert await wicket.extend(run_id, 0, 5) == 0
    await wicket.settle(run_id, 45)
    assert await wicket.extend(run_id, 1, 1) == NotExtended("gone")
    assert await wicket.held() == 0


async def test_scarce_credits_extend_by_what_is_usual(redis: Redis) -> None:
    wicket = Wicket(redis)
    await wicket.wallet(balance=200)
    run_id = (await wicket.admit(hold(10))).run_id
    assert await wicket.extend(run_id, 2, 100, typical=12) == 12


async def test_a_dead_owner_makes_room_for_a_repeated_request(redis: Redis) -> None:
    wicket = Wicket(redis)
    await wicket.wallet(balance=100)
    first = await wicket.admit(hold(10), key="k", body=b"body")
    assert first.outcome == "admitted"
    again = await wicket.admit(hold(10), key="k", body=b"body")
    assert (again.outcome, again.run_id) == ("repeat", first.run_id)
    wicket.now_ms += 15_001
    second = await wicket.admit(hold(10), key="k", body=b"body")
    assert second.outcome == "admitted"
    again = await wicket.admit(hold(10), key="k", body=b"body")
    assert (again.outcome, again.run_id) == ("repeat", second.run_id)


async def test_large_amounts_stay_exact(redis: Redis) -> None:
    wicket = Wicket(redis)
    balance = 9_007_199_254_740_991  # nine billion credits: the largest number that Lua has exactly
    await wicket.wallet(balance=balance)
    admitted = await wicket.admit(hold(balance - 1))
    assert (admitted.held_micro, admitted.available_micro) == (balance - 1, 1)
    assert await wicket.held() == balance - 1
