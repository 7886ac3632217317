"""Who may read what, and what everyone else is told."""

from __future__ import annotations

import aiohttp
import pytest
from console_world import World
from pydantic import BaseModel
from redis.asyncio import Redis

from console_api.ledger.models import Balance, LedgerPage
from console_api.wallet.models import WalletDetail


async def test_without_or_with_a_wrong_token_everything_is_401(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    paths = ["/account", "/account/instances", f"/instances/{world.instance_id}/usage"]
    paths += ["/wallet", "/wallet/ledger", "/wallet/ledger?format=csv", "/wallet/balance"]
    for path in paths:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {world.token}"}):
            async with http.get(f"{base_url}/api/v1{path}", headers=headers) as answer:
                assert answer.status == 401
                assert answer.content_type == "application/problem+json"
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert (await answer.json())["code"] == "unauthorized"


async def test_a_foreign_instance_cannot_be_told_from_none(
    http: aiohttp.ClientSession, base_url: str, world: World, redis: Redis
) -> None:
    other_org = await World.create(redis, world.tenant_id)
    other_tenant = await World.create(redis)
    bodies = []
    for instance_id in (other_org.instance_id, other_tenant.instance_id, "inst_none"):
        for suffix in ("", "/usage", "/runs", "/runs/run_1", "/usage/live"):
            url = f"{base_url}/api/v1/instances/{instance_id}{suffix}"
            async with http.get(url, headers=world.headers) as answer:
                assert answer.status == 404
                bodies.append(await answer.json())
    assert all(body == bodies[0] for body in bodies)


async def test_account_says_whom_the_token_speaks_for(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    async with http.get(f"{base_url}/api/v1/account", headers=world.headers) as answer:
        assert await answer.json() == {
            "subject": "ada@example.com",
            "tenant_id": world.tenant_id,
            "org_id": world.org_id,
            "role": "owner",
        }


async def test_a_tenants_token_reads_instances_but_owns_no_account(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    await world.add_token(token := f"{world.token}-service", "")
    headers = {"Authorization": f"Bearer {token}"}
    async with http.get(f"{base_url}/api/v1/instances/{world.instance_id}", headers=headers) as answer:
        assert answer.status == 200
    for path in ("/wallet", "/wallet/ledger", "/wallet/balance", "/account/instances"):
        async with http.get(f"{base_url}/api/v1{path}", headers=headers) as answer:
            assert answer.status == 403
            assert "org" in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/api/v1/wallet", 405, "method_not_allowed"),
        ("GET", "/api/v1/account/instances?limit=1000", 422, "invalid_request"),
        ("GET", "/api/v1/account/instances?cursor=garbage", 422, "invalid_request"),
    ],
)
async def test_every_error_is_a_problem(
    http: aiohttp.ClientSession, base_url: str, world: World, method: str, path: str, status: int, code: str
) -> None:
    async with http.request(method, f"{base_url}{path}", headers=world.headers) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        body = await answer.json()
        assert body["code"] == code
        assert body["status"] == status
        assert body["detail"]


async def test_an_unexpected_error_shows_nothing_of_its_cause(
    http: aiohttp.ClientSession, base_url: str, world: World, redis: Redis
) -> None:
    # A wallet that is not a hash: what a bug elsewhere might leave behind.
    await redis.hset(f"{{p{world.partition}}}:wallet:{world.org_id}", "balance", "not a number")
    async with http.get(f"{base_url}/api/v1/wallet", headers=world.headers) as answer:
        assert answer.status == 500
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        body = await answer.text()
        assert "not a number" not in body
        assert "Traceback" not in body


async def test_a_large_body_is_refused(http: aiohttp.ClientSession, base_url: str) -> None:
    async with http.post(f"{base_url}/api/v1/wallet", data=b"x" * 70_000) as answer:
        assert answer.status == 413
        assert (await answer.json())["code"] == "body_too_large"


async def test_security_headers_and_cors_only_for_the_console(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    for origin, allowed in (("https://console.example.com", True), ("https://evil.example", False)):
        headers = {**world.headers, "Origin": origin}
        async with http.get(f"{base_url}/api/v1/wallet", headers=headers) as answer:
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Cache-Control"] == "no-store"
            assert ("Access-Control-Allow-Origin" in answer.headers) is allowed


async def test_the_contract_is_published(http: aiohttp.ClientSession, base_url: str) -> None:
    async with http.get(f"{base_url}/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    assert "/api/v1/instances/{instance_id}/usage/live" in paths
    assert "/api/v1/account/instances" in paths
    for path in ("/api/v1/wallet", "/api/v1/wallet/ledger", "/api/v1/wallet/balance"):
        assert paths[path]["get"]["description"]
    content = paths["/api/v1/wallet/ledger"]["get"]["responses"]["200"]["content"]
    assert content.keys() == {"application/json", "text/csv"}


@pytest.mark.parametrize("model", [WalletDetail, LedgerPage, Balance])
def test_the_published_examples_are_answers(model: type[BaseModel]) -> None:
    example = model.model_json_schema()["example"]

    assert model.model_validate(example, extra="forbid").model_dump() == example


async def test_health_readiness_and_metrics(http: aiohttp.ClientSession, base_url: str) -> None:
    async with http.get(f"{base_url}/healthz") as answer:
        assert answer.status == 200
    async with http.get(f"{base_url}/readyz") as answer:
        assert (await answer.json())["checks"] == {"redis": "ok", "clickhouse": "ok"}
    async with http.get(f"{base_url}/metrics") as answer:
        assert 'route="/healthz",status="200"' in await answer.text()
