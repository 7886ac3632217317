"""Connectors as buyers set them up: credentials go in, and never come out."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from containers import free_ports
from control_places import Place
from control_server import Api, serving
from control_world import World, projected
from cryptography.fernet import Fernet
from pydantic import SecretStr
from redis.asyncio import Redis

sys.path.append(str(Path(__file__).parents[1] / "runner"))  # third_parties

from third_parties import ThirdParty, third_party
from waiting import eventually

from console_api.control.vault import service as vault
from kit.seal import CannotOpen, Seal, load_seal
from kit.settings import ConnectorSettings, SecretsSettings
from schemas import keys
from schemas.directory import ConnectorsRecord

TOKEN = "xoxb-1234567890-abcdef"
SLACK = {
    "kind": "slack",
    "name": "Support",
    "settings": {"channel": "#help"},
    "credentials": {"bot_token": TOKEN},
}

HUBSPOT = {
    "kind": "hubspot",
    "name": "CRM",
    "settings": {},
    "credentials": {"access_token": "pat-0000000000-example"},
}


@pytest_asyncio.fixture
async def party() -> AsyncIterator[ThirdParty]:
    async with third_party() as made:
        yield made


@pytest_asyncio.fixture
async def api(
    place: Place, redis_url: str, redis: Redis, world: World, party: ThirdParty
) -> AsyncIterator[Api]:
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    settings = ConnectorSettings(
        private_hosts="127.0.0.1", slack_base_url=party.url, max_per_instance=2, timeout_ms=60_000
    )
    async with (
        serving(place, redis_url, nowhere, world, connectors=settings) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Api(url, http, redis, world)


def at(world: World, rest: str = "") -> str:
    return f"/instances/{world.instance_id}/connectors{rest}"


async def record(redis: Redis, world: World) -> ConnectorsRecord | None:
    raw = await redis.get(keys.connectors(world.instance_id))
    return None if raw is None else msgspec.json.decode(raw, type=ConnectorsRecord)


async def names(redis: Redis, world: World) -> list[str] | None:
    found = await record(redis, world)
    return None if found is None else [connector.name for connector in found.connectors]


async def test_the_catalogue_says_what_each_kind_needs(api: Api) -> None:
    kinds = {kind["kind"]: kind for kind in (await api("GET", "/connector-kinds")).body["kinds"]}

    assert list(kinds) == ["rest", "webhook", "hubspot", "slack", "zendesk"]
    assert list(kinds["slack"]["settings_schema"]["properties"]) == ["channel"]
    assert [name for name, kind in kinds.items() if kind["for_visitors"]] == ["webhook", "slack", "zendesk"]
    assert list(kinds["zendesk"]["credentials_schema"]["properties"]) == ["email", "api_token"]


async def test_a_connector_reaches_the_runner_sealed(
    api: Api, world: World, redis: Redis, place: Place
) -> None:
    made = await api("POST", at(world), SLACK)

    assert made.status == 201, made.body
    assert (made.body["tools"], made.body["last_test"]) == (["slack_post_support"], None)
    await eventually(lambda: _is(redis, world, ["Support"]), "the projection")
    [told] = (await record(redis, world)).connectors  # type: ignore[union-attr]
    raw = await redis.get(keys.connectors(world.instance_id))
    assert TOKEN.encode() not in raw
    assert told.settings == {"channel": "#help"}
    seal = load_seal(SecretsSettings(), place.data_dir)
    assert msgspec.json.decode(seal.open(told.secret_id, told.sealed)) == {"bot_token": TOKEN}

    async def gateways_know() -> bool:
        return (await projected(redis, world.instance_id)).connectors

    await eventually(gateways_know, "the instance's own projection, which is another write")
    [entry] = await world.audited(made.body["connector_id"])
    assert (entry.action, TOKEN in str(entry.details)) == ("connector.create", False)


async def _is(redis: Redis, world: World, expected: list[str] | None) -> bool:
    return await names(redis, world) == expected


async def test_a_new_key_seals_what_runners_are_told_without_anybodys_help(
    world: World, redis: Redis, redis_url: str, place: Place
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    for keys_in_use in (old, f"{new},{old}"):
        settings = SecretsSettings(keys=SecretStr(keys_in_use))
        async with (
            serving(place, redis_url, nowhere, world, secrets=settings) as url,
            aiohttp.ClientSession() as http,
        ):
            if keys_in_use == old:
                made = await Api(url, http, redis, world)("POST", at(world), SLACK)
                assert made.status == 201, made.body
                await eventually(lambda: _is(redis, world, ["Support"]), "the projection")
                continue

            async def opened_by_the_new_key_alone() -> bool:
                found = await record(redis, world)
                try:
                    [told] = found.connectors if found else ()
                    return TOKEN in Seal((new,)).open(told.secret_id, told.sealed)
                except CannotOpen:
                    return False

            await eventually(opened_by_the_new_key_alone, "the credentials are sealed with the new key")
            async with http.get(f"{url}/metrics") as answer:
                assert "runmeter_console_api_secrets_sealed_with_older_keys 0.0" in await answer.text()


async def test_credentials_are_never_shown(api: Api, world: World) -> None:
    made = await api("POST", at(world), SLACK)
    one = await api("GET", at(world, f"/{made.body['connector_id']}"))
    listed = await api("GET", at(world))

    assert TOKEN not in str((made.body, one.body, listed.body))
    assert listed.body["connectors"] == [one.body]


async def test_credentials_that_are_wrong_are_not_repeated(api: Api, world: World) -> None:
    wrong = {**SLACK, "credentials": {"bot_token": "s3cret-that-is-no-token"}}

    answer = await api("POST", at(world), wrong)

    assert (answer.status, answer.body["code"]) == (422, "invalid_request")
    assert "bot_token" in answer.body["detail"]
    assert "s3cret" not in str(answer.body)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"kind": "fax"}, "choose one of rest"),
        ({"settings": {}}, "channel"),
        ({"settings": {"channel": "#help", "x": 1}}, "unknown field"),
        ({"credentials": {}}, "bot_token"),
        ({"name": ""}, ""),
        ({"more": 1}, ""),
    ],
)
async def test_what_no_connector_can_be_made_of_is_refused(
    api: Api, world: World, changed: dict[str, Any], told: str
) -> None:
    answer = await api("POST", at(world), {**SLACK, **changed})

    assert answer.status == 422
    assert told in str(answer.body)


async def test_it_can_be_tried(api: Api, world: World, party: ThirdParty) -> None:
    made = await api("POST", at(world), SLACK)
    path = at(world, f"/{made.body['connector_id']}")

    party.says({"ok": True, "team": "Acme", "user": "bot"})
    assert (await api("POST", f"{path}:test")).body["said"] == "connected to Acme as bot"
    assert party.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"
    party.says({"ok": False, "error": "invalid_auth"})
    failed = await api("POST", f"{path}:test")

    assert (failed.status, failed.body["passed"]) == (200, False)
    assert "invalid_auth" in failed.body["said"]
    assert (await api("GET", path)).body["last_test"] == failed.body


async def test_it_can_be_switched_off_and_on(api: Api, world: World, redis: Redis) -> None:
    made = await api("POST", at(world), SLACK)
    path = at(world, f"/{made.body['connector_id']}")

    assert (await api("PATCH", path, {"enabled": False})).body["enabled"] is False
    await eventually(lambda: _is(redis, world, []), "it is gone from the projection")
    assert (await projected(redis, world.instance_id)).connectors is False
    await api("PATCH", path, {"enabled": True, "name": "Help"})
    await eventually(lambda: _is(redis, world, ["Help"]), "it is back")


async def test_visitors_may_use_what_only_sends_or_its_owner_lets_them(
    api: Api, world: World, redis: Redis
) -> None:
    slack = await api("POST", at(world), SLACK)
    hubspot = await api("POST", at(world), HUBSPOT)
    path = at(world, f"/{hubspot.body['connector_id']}")
    assert (slack.body["for_visitors"], hubspot.body["for_visitors"]) == (True, False)

    async def told() -> dict[str, bool]:
        found = await record(redis, world)
        return {one.kind: one.for_visitors for one in found.connectors} if found else {}

    async def are_told(expected: dict[str, bool]) -> bool:
        return await told() == expected

    await eventually(lambda: are_told({"slack": True, "hubspot": False}), "the projection")
    assert (await api("PATCH", path, {"for_visitors": True})).body["for_visitors"] is True
    assert (await api("PATCH", path, {"name": "Sales"})).body["for_visitors"] is True
    await eventually(lambda: are_told({"slack": True, "hubspot": True}), "the change")


async def test_what_is_left_out_stays(api: Api, world: World, party: ThirdParty) -> None:
    made = await api("POST", at(world), SLACK)
    path = at(world, f"/{made.body['connector_id']}")
    party.says({"ok": True})

    changed = await api("PATCH", path, {"settings": {"channel": "#sales"}, "name": "Sales"})
    await api("POST", f"{path}:test")

    assert (changed.body["version"], changed.body["tools"]) == (2, ["slack_post_sales"])
    assert party.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"
    await api("PATCH", path, {"credentials": {"bot_token": "xoxb-another-one-000"}})
    await api("POST", f"{path}:test")
    assert party.asked[1].headers["Authorization"] == "Bearer xoxb-another-one-000"


async def test_a_change_forgets_what_the_last_test_said(api: Api, world: World, party: ThirdParty) -> None:
    made = await api("POST", at(world), SLACK)
    path = at(world, f"/{made.body['connector_id']}")
    party.says({"ok": True})
    await api("POST", f"{path}:test")

    assert (await api("PATCH", path, {"settings": {"channel": "#x"}})).body["last_test"] is None


async def test_deleting_it_deletes_its_credentials(
    api: Api, world: World, redis: Redis, place: Place
) -> None:
    made = await api("POST", at(world), SLACK)
    path = at(world, f"/{made.body['connector_id']}")
    await eventually(lambda: _is(redis, world, ["Support"]), "the projection")

    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path)).status == 404
    await eventually(lambda: _is(redis, world, []), "it is gone from the projection")
    name = f"connector:{made.body['connector_id']}"
    async with world.database.reading() as session:
        seal = load_seal(SecretsSettings(), place.data_dir)
        assert await vault.read(session, seal, world.tenant_id, name, org_id=world.org_id) is None


async def test_there_is_a_limit(api: Api, world: World) -> None:
    statuses = [(await api("POST", at(world), SLACK)).status for _ in range(3)]

    assert statuses == [201, 201, 409]


async def test_nobody_else_sees_or_changes_it(api: Api, world: World) -> None:
    made = await api("POST", at(world), SLACK)
    path = at(world, f"/{made.body['connector_id']}")
    foreign = await api.headers("owner", org_id="org_foreign")
    elsewhere = await api.headers("owner", org_id="", tenant_id="tenant_foreign")

    for headers in (foreign, elsewhere):
        for method, rest, body in (
            ("GET", "", None),
            ("PATCH", "", {"enabled": False}),
            ("DELETE", "", None),
            ("POST", ":test", None),
        ):
            assert (await api(method, path + rest, body, headers=headers)).status == 404
    assert (await api("GET", path, role="viewer")).status == 200
    for method, rest, body in (
        ("PATCH", "", {"enabled": False}),
        ("DELETE", "", None),
        ("POST", ":test", None),
    ):
        assert (await api(method, path + rest, body, role="viewer")).status == 403


async def test_an_openapi_document_may_be_large_and_is_not_kept(api: Api, world: World) -> None:
    document = {
        "openapi": "3.0.0",
        "info": {"description": "x" * 500_000},
        "servers": [{"url": "https://api.example.com"}],
        "paths": {"/orders": {"get": {"operationId": "listOrders", "summary": "All orders"}}},
    }
    body = {"kind": "rest", "name": "Shop", "settings": {"document": document, "operations": ["listOrders"]}}

    made = await api("POST", at(world), body)

    assert (made.status, made.body["tools"]) == (201, ["shop_listOrders"])
    assert len(str(made.body["settings"])) < 500
