"""Which pages may use a widget's key: the origin exactly, and counted otherwise; CORS for it and no other."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from gateway_rig import Plane, assert_problem
from widget_rig import NO_LIMITS, ORIGIN, Page, page

from gateway.widget import addresses, origins
from gateway.widget.blocked import MAX_NAMED
from kit import clock
from metering.windows import start_of
from schemas import keys

TRICKS = [
    "",
    "null",
    "*",
    "http://shop.example.com",
    "https://shop.example.com:8443",
    "https://shop.example.com.evil.com",
    "https://evil.com",
    "https://shop.example.com@evil.com",
    "https://evil.com/https://shop.example.com",
    "https://shop.example.com/",
    "https://shop.example.com.",
    "https://sub.shop.example.com",
    "https://xshop.example.com",
    "https://example.com",
    "HTTPS://SHOP.EXAMPLE.COM",
    "https://shop.example.com https://evil.com",
    "https://" + "a" * 300 + ".com",
]


async def blocked(at: Page) -> dict[str, int]:
    day = start_of("day", clock.now_ms())
    tenant = at.tenant
    key = keys.widget_blocked(tenant.partition, tenant.key_record.key_id, day)
    return {name.decode(): int(count) for name, count in (await at.plane.redis.hgetall(key)).items()}


async def test_an_allowed_page_begins_a_session_and_may_read_it(plane: Plane, fast: Any) -> None:
    shop = await page(plane, fast.gateway)

    answer = await shop.init()

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Vary"] == "Origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", TRICKS)
async def test_no_other_page_does(plane: Plane, fast: Any, origin: str) -> None:
    other = await page(plane, fast.gateway, origin)

    answers = [await other.init(), await plane.ask(fast.gateway, other.tenant, headers=other.headers())]

    for answer in answers:
        assert_problem(answer, 403, "origin_not_allowed")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert sum((await blocked(other)).values()) == 2


async def test_two_origins_are_none(plane: Plane, fast: Any) -> None:
    shop = await page(plane, fast.gateway)
    headers = [("X-API-Key", shop.tenant.key), ("Origin", ORIGIN), ("Origin", "https://evil.com")]

    answer = await plane.post(fast.gateway, "/v1/widget/session:init", headers=headers)

    assert_problem(answer, 403, "origin_not_allowed")
    assert await blocked(shop) == {"none": 1}


@pytest.mark.parametrize(
    ("allowed", "origin", "opens"),
    [
        ("http://localhost:3000", "http://localhost:3000", True),
        ("http://localhost:3000", "http://localhost:3001", False),
        ("https://a.example:443", "https://a.example", True),
        ("https://a.example", "https://a.example:443", False),
        ("http://localhost:80", "http://localhost", True),
        ("http://[::1]:8000", "http://[::1]:8000", True),
        ("null", "null", False),
        ("https://*.example.com", "https://a.example.com", False),
        ("", "", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(allowed: str, origin: str, opens: bool) -> None:
    assert origins.is_allowed(origin, (allowed,)) is opens


async def test_origins_that_were_blocked_are_counted_for_the_console(plane: Plane, fast: Any) -> None:
    shop = await page(plane, fast.gateway)
    for origin in ("https://evil.com", "https://evil.com", "null", "", "not an origin"):
        await Page(plane, fast.gateway, shop.tenant, origin).init()
    await shop.init()

    assert await blocked(shop) == {"https://evil.com": 2, "null": 1, "none": 1, "malformed": 1}
    day = keys.widget_blocked(
        shop.tenant.partition, shop.tenant.key_record.key_id, start_of("day", clock.now_ms())
    )
    assert 0 < await plane.redis.ttl(day) <= 8 * 86_400


async def test_invented_origins_fill_nothing(plane: Plane, fast: Any) -> None:
    shop = await page(plane, fast.gateway)

    for number in range(MAX_NAMED + 20):
        await Page(plane, fast.gateway, shop.tenant, f"https://e{number}.com").init()
    await Page(plane, fast.gateway, shop.tenant, "https://e0.com").init()

    counted = await blocked(shop)
    assert len(counted) == MAX_NAMED + 1
    assert counted[keys.OTHER_ORIGINS] == 20
    assert counted["https://e0.com"] == 2


async def test_a_page_asks_before_without_credentials(plane: Plane, fast: Any) -> None:
    for path in (
        "/v1/runs",
        "/v1/widget/session:init",
        "/v1/widget/session:refresh",
        "/v1/runs/run_1/cancel",
    ):
        headers = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        async with plane.http.options(fast.gateway.url + path, headers=headers) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert {"authorization", "content-type", "x-api-key", "idempotency-key"} <= set(
                answer.headers["Access-Control-Allow-Headers"].split(", ")
            )
            assert "Origin" in answer.headers["Vary"]
            assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["null", "*", "https://a b", "x"])
async def test_a_page_without_an_origin_of_its_own_may_not_even_ask(
    plane: Plane, fast: Any, origin: str
) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with plane.http.options(fast.gateway.url + "/v1/runs", headers=headers) as answer:
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_what_is_no_page_s_business_is_not_shared(plane: Plane, fast: Any) -> None:
    tenant = await plane.tenant()

    answer = await plane.ask(fast.gateway, tenant, headers={"Origin": ORIGIN})

    assert answer.status == 200  # a program may send what it likes
    assert "Access-Control-Allow-Origin" not in answer.headers
    async with plane.http.options(fast.gateway.url + "/metrics", headers={"Origin": ORIGIN}) as other:
        assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_page_can_read_what_went_wrong_and_a_stream(plane: Plane, fast: Any) -> None:
    gateway = await plane.gateway(fast.runner, **NO_LIMITS)
    shop = await page(plane, gateway)
    token = (await shop.session())["session_token"]

    wrong = await shop.run(token, input="")
    stream = await shop.run(token, stream=True)
    await gateway.stop()

    assert_problem(wrong, 422, "invalid_request")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert b"run.completed" in stream.body
    for answer in (wrong, stream):
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "retry-after" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("198.51.100.1", ["203.0.113.9"], [], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9"], ["10.0.0.0/8"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], ["10.0.0.0/8"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9, 10.0.0.2"], ["10.0.0.0/8"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", [], ["10.0.0.0/8"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], ["10.0.0.0/8"], "2001:db8::1"),
        ("", ["203.0.113.9"], ["10.0.0.0/8"], ""),
    ],
)
def test_only_a_trusted_proxy_says_who_asks(
    peer: str, forwarded: list[str], trusted: list[str], address: str
) -> None:
    proxies = [ip_network(one) for one in trusted]

    assert addresses.client_address(peer, forwarded, proxies) == address


def test_an_address_is_kept_as_a_keyed_hash() -> None:
    kept = addresses.hashed("203.0.113.9", b"secret")

    assert "203" not in kept
    assert kept != addresses.hashed("203.0.113.9", b"another")
    assert addresses.hashed("2001:db8::1", b"s") == addresses.hashed("2001:db8::ffff", b"s")
    assert addresses.hashed("2001:db8::1", b"s") != addresses.hashed("2001:db8:0:1::1", b"s")


def test_a_proxy_that_is_none_stops_the_start() -> None:
    with pytest.raises(SystemExit, match="RUNMETER_GATEWAY_TRUSTED_PROXIES"):
        addresses.networks("10.0.0.0/8, proxy.internal")
