"""What a key may be used for, how its uses are noted, and what checking it costs in Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from containers import Embedded, free_ports
from gateway_log import until
from gateway_rig import Answered, Plane, Service, Tenant, assert_problem, open_plane
from kafka_gate import KafkaGate
from redis.asyncio import Redis
from widget_rig import NO_LIMITS, ORIGIN, commands, page, project_instance, project_key, stopped

from gateway.errors import InvalidApiKey
from gateway.key_uses import KeyUses
from gateway.keys import KeyDirectory
from kit import clock, redis_client
from kit.settings import RedisSettings
from schemas import keys
from stack import servers

_RUNS = 40
#: Of the tests, alive at once at most: each may write once while a test looks.
_GATEWAYS = 4


async def try_all(plane: Plane, gateway: Service, tenant: Tenant) -> dict[str, Answered]:
    """Return what each route answers to the key."""
    headers = {**tenant.headers, "Origin": ORIGIN}
    return {
        "write": await plane.ask(gateway, tenant, headers=headers),
        "read": await plane.get(gateway, "/v1/runs/run_none", headers=headers),
        "cancel": await plane.post(gateway, "/v1/runs/run_none/cancel", headers=headers),
    }


@pytest.mark.parametrize(
    ("kind", "scopes", "missing"),
    [
        ("secret", (), {}),
        ("secret", ("runs:write", "runs:read"), {}),
        ("secret", ("runs:write",), {"read": "runs:read"}),
        ("secret", ("runs:read",), {"write": "runs:write", "cancel": "runs:write"}),
        (
            "secret",
            ("usage:write",),
            {"write": "runs:write", "read": "runs:read", "cancel": "runs:write"},
        ),
        ("widget", (), {}),
        ("widget", ("runs:write",), {"read": "runs:read"}),
        (
            "widget",
            ("usage:write",),
            {"write": "runs:write", "read": "runs:read", "cancel": "runs:write"},
        ),
    ],
)
async def test_a_key_is_for_its_scopes(
    plane: Plane, fast: Any, kind: Any, scopes: tuple[str, ...], missing: dict[str, str]
) -> None:
    origins = (ORIGIN,) if kind == "widget" else ()
    tenant = await plane.tenant(kind=kind, scopes=scopes, allowed_origins=origins)

    answers = await try_all(plane, fast.gateway, tenant)

    for route, answer in answers.items():
        if route in missing:
            problem = assert_problem(answer, 403, "missing_scope")
            assert problem["scope"] == missing[route]
            assert missing[route] in problem["detail"]
        else:
            assert answer.status == (200 if route == "write" else 404)


async def test_a_widget_s_key_that_may_not_run_begins_no_session(plane: Plane, fast: Any) -> None:
    shop = await page(plane, fast.gateway, scopes=("runs:read",))

    assert assert_problem(await shop.init(), 403, "missing_scope")["scope"] == "runs:write"


async def test_a_scope_that_is_taken_away_ends_what_sessions_may(plane: Plane, fast: Any) -> None:
    shop = await page(plane, fast.gateway)
    token = (await shop.session())["session_token"]

    await project_key(plane, shop.tenant, scopes=("runs:read",))

    async def refused() -> Answered | None:
        answer = await shop.refresh(token)
        return answer if answer.status == 403 else None

    assert_problem(await until(refused, "the scope is gone", 1.0), 403, "missing_scope")
    assert_problem(await shop.run(token), 403, "missing_scope")
    assert (await shop.look(token)).status == 404


async def test_a_plan_without_the_channel_refuses_its_keys(plane: Plane, fast: Any) -> None:
    no_widget = await page(plane, fast.gateway, instance_fields={"channels": ("api", "mcp")})
    no_api = await plane.tenant(instance_fields={"channels": ("widget",)})

    widget = [await no_widget.init(), *(await try_all(plane, fast.gateway, no_widget.tenant)).values()]
    api = (await try_all(plane, fast.gateway, no_api)).values()

    for answers, channel in ((widget, "widget"), (api, "api")):
        for answer in answers:
            problem = assert_problem(answer, 403, "channel_not_allowed")
            assert problem["channel"] == channel
            assert "use an instance whose plan has it, or ask" in problem["detail"]


async def test_a_plan_that_loses_the_widget_ends_its_sessions(plane: Plane, fast: Any) -> None:
    shop = await page(plane, fast.gateway, instance_fields={"channels": ("api", "widget")})
    token = (await shop.session())["session_token"]

    await project_instance(plane, shop.tenant, channels=("api",))

    async def refused() -> bool:
        return (await shop.look(token)).status == 403

    await until(refused, "the plan has no widget", 1.0)
    assert_problem(await shop.run(token), 403, "channel_not_allowed")


async def test_a_cached_key_expires_by_the_clock(plane: Plane) -> None:
    """With Redis untouched: nothing but the time changes."""
    now = [clock.now_ms()]
    expiring = await plane.tenant(expires_at_ms=now[0] + 60_000)
    directory = KeyDirectory(plane.redis, 8, 300_000, 300_000, lambda: now[0])
    await directory.resolve(expiring.key)

    now[0] += 59_999
    assert (await directory.resolve(expiring.key)).key == expiring.key_record
    now[0] += 1
    with pytest.raises(InvalidApiKey, match="expired"):
        await directory.resolve(expiring.key)


class Paused(Redis):
    """The real client, whose next answers wait; how a slow network looks to its caller."""

    gate: asyncio.Event
    reached: asyncio.Event

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        answer = await super().execute_command(*args, **options)
        self.reached.set()
        await self.gate.wait()
        return answer


async def test_a_key_revoked_while_it_is_looked_up_is_not_remembered_as_valid(plane: Plane) -> None:
    tenant = await plane.tenant()
    slow = Paused.from_url(plane.redis_url)
    slow.gate, slow.reached = asyncio.Event(), asyncio.Event()
    directory = KeyDirectory(slow, 8, 300_000, 300_000, clock.now_ms)
    listening = asyncio.create_task(directory.listen())

    async def heard() -> bool:
        return directory._generation > 0

    await until(heard, "the channel is heard")
    before = directory._changes
    looking = asyncio.create_task(directory.resolve(tenant.key))
    await slow.reached.wait()
    await project_key(plane, tenant, revoked=True)

    async def told() -> bool:
        return directory._changes > before

    await until(told, "the change was pushed")
    slow.gate.set()
    await asyncio.gather(looking, return_exceptions=True)

    with pytest.raises(InvalidApiKey):
        await directory.resolve(tenant.key)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await slow.aclose()


async def last_used(plane: Plane, tenant: Tenant) -> int:
    return int(await plane.redis.hget(keys.key_last_used(), tenant.key_record.key_id) or 0)


async def test_a_use_is_noted_in_the_background(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(fast.runner, GATEWAY_KEY_USES_FLUSH_MS="50")
    tenant, shop = await plane.tenant(), await page(plane, gateway)
    refused = await plane.tenant(scopes=("usage:write",))
    before = clock.now_ms()

    await plane.ask(gateway, tenant)
    await shop.session()
    await plane.ask(gateway, refused)

    async def noted() -> bool:
        return bool(await last_used(plane, tenant) and await last_used(plane, shop.tenant))

    await until(noted, "both uses are noted")
    assert before <= await last_used(plane, tenant) <= clock.now_ms()
    assert not await last_used(plane, refused)
    first = await last_used(plane, tenant)
    await plane.ask(gateway, tenant)

    async def later() -> bool:
        return await last_used(plane, tenant) > first

    await until(later, "the later use is noted")
    await gateway.stop()


async def test_a_stopped_gateway_notes_what_it_had(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(fast.runner, GATEWAY_KEY_USES_FLUSH_MS="600000")
    tenant = await plane.tenant()
    before = await commands(plane.redis)
    for _ in range(_RUNS):
        await plane.ask(gateway, tenant)
    assert not await last_used(plane, tenant)

    await gateway.stop()

    assert await last_used(plane, tenant)
    assert 1 <= (await commands(plane.redis) - before)["hset"] <= _GATEWAYS


async def test_noting_uses_is_bounded_and_never_fails(plane: Plane, redis_url: str) -> None:
    address, _, database = redis_url.removeprefix("redis://").partition("/")
    gate = KafkaGate(address, free_ports("gate")["gate"])
    away = redis_client.connect(RedisSettings(url=f"redis://{gate.address}/{database}", timeout_ms=200))
    uses, prefix = KeyUses(away, 10, clock.now_ms), clock.new_id("key")
    for number in range(60_000):
        uses.note(f"{prefix}-{number}")

    assert len(uses._latest) == 50_000
    await uses.flush()  # Redis is away: logged, and forgotten
    assert not uses._latest
    for number in range(2_500):
        uses.note(f"{prefix}-{number}")
    await gate.open()
    before = await commands(plane.redis)
    await uses.flush()
    await gate.close()
    assert (await commands(plane.redis))["hset"] - before["hset"] == 3
    await away.aclose()
    noted = [f"{prefix}-{number}" for number in range(2_500)]
    assert await plane.redis.hdel(keys.key_last_used(), *noted) == 2_500


@pytest_asyncio.fixture
async def quiet(embedded: Embedded, kafka: str, tmp_path: Path) -> AsyncIterator[Plane]:
    """A plane whose Redis nobody else uses."""
    (port,) = free_ports("valkey").values()
    with embedded.running(lambda: servers.valkey(tmp_path / "valkey", port)):
        async with open_plane(tmp_path, kafka, f"redis://127.0.0.1:{port}/0") as made:
            yield made


async def test_a_run_costs_redis_one_script_and_its_answer(quiet: Plane, fast: Any) -> None:
    """What a secret key's run costs is what it cost before there were scopes, sessions and last uses."""
    runner = await quiet.runner(fast.provider)
    gateway = await quiet.gateway(runner, GATEWAY_KEY_CACHE_TTL_MS="300000", **NO_LIMITS)
    tenant = await quiet.tenant(tools=())
    assert (await quiet.ask(gateway, tenant)).status == 200
    before = await commands(quiet.redis)

    for number in range(_RUNS):
        assert (await quiet.ask(gateway, tenant, headers={"Origin": f"https://a{number}.com"})).status == 200

    spent = await commands(quiet.redis) - before
    # admit.lua and what is inside of it, its lease among them; the kept answer.
    inside = {"hmget": 1, "hincrby": 3, "sadd": 1, "zadd": 1, "set": 1}
    wanted = Counter({name: each * _RUNS for name, each in inside.items()})
    wanted += Counter({"evalsha": _RUNS, "set": _RUNS})
    # Once a second it is asked for its time and whether it is the one it was, which no run does; what else
    # comes less often than runs is of none of them.
    seldom = {name for name, calls in spent.items() if calls < _RUNS} | {"time", "info"}
    assert {name: calls for name, calls in spent.items() if name not in seldom} == wanted
    assert spent["hset"] <= _GATEWAYS


async def test_a_widget_s_run_costs_one_call_more(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(
        fast.runner, GATEWAY_KEY_CACHE_TTL_MS="300000", WIDGET_RUNS_PER_VISITOR_PER_MINUTE="1000"
    )
    shop = await page(plane, gateway)
    token = (await shop.session())["session_token"]
    before = await commands(plane.redis)

    for _ in range(10):
        assert (await shop.run(token)).status == 200

    assert (await commands(plane.redis) - before)["evalsha"] == 2 * 10
    await stopped(gateway)
