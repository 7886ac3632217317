"""What the gateway will not run, and how it says so: problem details with stable codes."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from gateway_log import until
from gateway_rig import Plane, Service, Tenant, assert_problem
from waiting import PATIENCE_S

from kit import api_keys, clock
from metering.prices import MICRO_PER_CREDIT, worst_case
from schemas import keys
from schemas.directory import RunLease

_ASK = {"input": "Hello"}


@pytest.mark.parametrize("key", ["", "garbage", "rm_sk_abc_def_00000000", "rm_" + "x" * 500])
async def test_no_or_a_garbage_key(plane: Plane, fast: Any, key: str) -> None:
    answer = await plane.post(fast.gateway, "/v1/runs", json=_ASK, headers={"X-API-Key": key} if key else {})
    assert_problem(answer, 401, "invalid_api_key")
    assert key == "" or key not in answer.body.decode()


async def test_a_well_formed_key_that_nobody_has(plane: Plane, fast: Any) -> None:
    headers = {"X-API-Key": api_keys.mint("sk").key}
    for _ in range(2):
        assert_problem(
            await plane.post(fast.gateway, "/v1/runs", json=_ASK, headers=headers), 401, "invalid_api_key"
        )


async def test_a_bearer_token_is_a_key_too(plane: Plane, fast: Any, tenant: Tenant) -> None:
    headers = {"Authorization": f"Bearer {tenant.key}"}
    assert (await plane.post(fast.gateway, "/v1/runs", json=_ASK, headers=headers)).status == 200


async def test_an_expired_key(plane: Plane, fast: Any) -> None:
    expired = await plane.tenant(expires_at_ms=clock.now_ms() - 1)
    assert_problem(await plane.ask(fast.gateway, expired), 401, "invalid_api_key")


async def test_a_cached_key_expires_on_time(plane: Plane, fast: Any) -> None:
    expiring = await plane.tenant(expires_at_ms=clock.now_ms() + 700)
    assert (await plane.ask(fast.gateway, expiring)).status == 200

    async def refused() -> bool:
        return (await plane.ask(fast.gateway, expiring)).status == 401

    await until(refused, "the key has expired", 3)


async def test_a_revoked_key_is_refused_within_a_second(plane: Plane, fast: Any, slow: Any) -> None:
    revoked = await plane.tenant()
    for side in (fast, slow):
        # Cached from here on.
        assert (await plane.get(side.gateway, "/v1/runs/none", headers=revoked.headers)).status == 404
    record = msgspec.structs.replace(revoked.key_record, revoked=True)
    digest = api_keys.digest(revoked.key)
    await plane.redis.set(keys.api_key(digest), msgspec.json.encode(record))
    await plane.redis.publish(keys.KEY_CHANGED_CHANNEL, digest)

    async def refused_by(gateway: Service) -> bool:
        return (await plane.get(gateway, "/v1/runs/none", headers=revoked.headers)).status == 401

    await asyncio.gather(
        *(until(lambda g=side.gateway: refused_by(g), "revoked", 1.0) for side in (fast, slow))
    )
    assert_problem(await plane.ask(fast.gateway, revoked), 401, "invalid_api_key")


async def test_an_mcp_key_opens_something_else(plane: Plane, fast: Any) -> None:
    mcp = await plane.tenant(kind="mcp")
    assert_problem(await plane.ask(fast.gateway, mcp), 403, "key_kind_not_allowed")


@pytest.mark.parametrize("status", ["provisioning", "suspended", "ended"])
async def test_an_instance_that_is_not_active(plane: Plane, fast: Any, status: str) -> None:
    inactive = await plane.tenant(status=status)
    assert_problem(await plane.ask(fast.gateway, inactive), 403, "instance_inactive")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'"text"',
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"input": "\xff"}',
        b"{}",
        b'{"input": ""}',
        b'{"messages": []}',
        b'{"messages": [{"role": "user", "content": ""}]}',
        b'{"messages": [{"role": "wizard", "content": "x"}]}',
        b'{"messages": [{"role": "user"}]}',
        b'{"input": "x", "messages": [{"role": "user", "content": "x"}]}',
        b'{"input": "x", "surprise": 1}',
        b'{"input": 5}',
        b'{"input": "x", "stream": "yes"}',
        b'{"input": "x", "max_tokens": 0}',
        b'{"input": "x", "temperature": 3}',
        b'{"input": "x", "metadata": {"a": 1}}',
        b'{"input": "\\ud800"}',
    ],
)
async def test_bad_bodies(plane: Plane, fast: Any, tenant: Tenant, body: bytes) -> None:
    answer = await plane.post(fast.gateway, "/v1/runs", data=body, headers=tenant.headers)
    assert_problem(answer, 422, "invalid_request")


async def test_deep_nesting_is_a_bad_body(plane: Plane, fast: Any, tenant: Tenant) -> None:
    for body in (b"[" * 100_000, b'{"metadata":' * 50_000, b'{"x":' + b"[" * 100_000):
        answer = await plane.post(fast.gateway, "/v1/runs", data=body, headers=tenant.headers)
        assert_problem(answer, 422, "invalid_request")


async def test_an_idempotency_key_that_is_too_long(plane: Plane, fast: Any, tenant: Tenant) -> None:
    answer = await plane.ask(fast.gateway, tenant, headers={"Idempotency-Key": "k" * 256})
    assert_problem(answer, 422, "invalid_request")


async def test_an_unknown_model_is_told_the_known_ones(plane: Plane, fast: Any, tenant: Tenant) -> None:
    problem = assert_problem(await plane.ask(fast.gateway, tenant, model="gpt-99"), 422, "unknown_model")
    assert problem["allowed"] == ["gpt-4o-mini", "gpt-4o"]


async def test_a_body_that_declares_to_be_too_large(plane: Plane, fast: Any, tenant: Tenant) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", fast.gateway.port)
    head = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nX-API-Key: {tenant.key}\r\nContent-Length: 2000000\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    # Before any of the body was sent.
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


async def test_a_body_that_grows_too_large(plane: Plane, fast: Any, tenant: Tenant) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 65_536

    answer = await plane.post(fast.gateway, "/v1/runs", data=chunks(), headers=tenant.headers)
    assert_problem(answer, 413, "body_too_large")


async def test_nothing_refused_is_metered(plane: Plane, fast: Any) -> None:
    quiet = await plane.tenant()
    await plane.ask(fast.gateway, quiet, model="gpt-99")
    await plane.post(fast.gateway, "/v1/runs", data=b"{", headers=quiet.headers)
    assert await plane.log.runs_of(quiet.instance_id) == {}
    assert await plane.redis.hget(keys.wallet(quiet.partition, quiet.org_id), "held") is None


async def test_unknown_routes_and_methods_are_problems(plane: Plane, fast: Any) -> None:
    assert_problem(await plane.get(fast.gateway, "/v1/nothing"), 404, "not_found")
    assert_problem(await plane.get(fast.gateway, "/v1/runs"), 405, "method_not_allowed")


async def test_an_empty_wallet(plane: Plane, fast: Any) -> None:
    poor = await plane.tenant(credits_micro=0)
    problem = assert_problem(await plane.ask(fast.gateway, poor), 402, "insufficient_credits")
    assert problem["reason"] == "insufficient_credits"
    assert problem["limit_source"] == "org_wallet"
    assert problem["available_credits"] == "0.000000"
    assert float(problem["needed_credits"]) > 0
    assert await plane.log.runs_of(poor.instance_id) == {}
    assert await plane.redis.exists(keys.holds(poor.partition, poor.org_id)) == 0


async def test_a_wallet_that_pays_for_a_small_run_only(plane: Plane, fast: Any) -> None:
    probe = await plane.tenant(credits_micro=0)
    small = await plane.ask(fast.gateway, probe, max_tokens=10)
    needed = small.json["needed_credits"]
    whole, _, part = needed.partition(".")
    micro = int(whole) * MICRO_PER_CREDIT + int(part)
    modest = await plane.tenant(credits_micro=micro)
    problem = assert_problem(
        await plane.ask(fast.gateway, modest, max_tokens=1_000), 402, "insufficient_credits"
    )
    assert problem["available_credits"] == needed
    assert (await plane.ask(fast.gateway, modest, max_tokens=10)).status == 200
    assert_problem(await plane.ask(fast.gateway, modest, max_tokens=10), 402, "insufficient_credits")


async def test_a_run_holds_its_worst_case(plane: Plane, slow: Any) -> None:
    holding = await plane.tenant()
    async with plane.streaming(slow.gateway, holding, "Hello [[fault:length:400]]") as response:
        assert response.status == 200
        run_id = response.headers["X-Run-Id"]
        held = await plane.redis.hgetall(keys.holds(holding.partition, holding.org_id))
        wallet = await plane.redis.hgetall(keys.wallet(holding.partition, holding.org_id))
        due = await plane.redis.zscore(keys.leases(holding.partition), run_id)
        lease = msgspec.json.decode(
            await plane.redis.get(keys.lease(holding.partition, run_id)), type=RunLease
        )
    assert list(held) == [run_id.encode()]
    assert wallet[b"held"] == held[run_id.encode()]
    assert int(wallet[b"held"]) >= worst_case(plane.book, "gpt-4o-mini", 1, 4_096)
    assert due > clock.now_ms()
    assert (lease.run_id, lease.instance_id, lease.streamed) == (run_id, holding.instance_id, True)


async def test_runs_at_once_never_hold_more_than_there_is(plane: Plane, fast: Any) -> None:
    probe = await plane.tenant(credits_micro=0)
    needed = (await plane.ask(fast.gateway, probe, "Hi", max_tokens=50)).json["needed_credits"]
    micro = int(needed.replace(".", ""))
    racing = await plane.tenant(credits_micro=3 * micro)
    answers = await asyncio.gather(*(plane.ask(fast.gateway, racing, "Hi", max_tokens=50) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [402] * 9
