"""The life of an API key, and who may have a hand in it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from control_server import SERVICE_TOKEN, Answer, Api
from control_world import World
from redis.asyncio import Redis
from waiting import PATIENCE_S, eventually

from console_api.keys.last_used import LastUsedCollector
from console_api.keys.service import MAX_LIVE_KEYS
from kit import api_keys
from metering.windows import start_of
from schemas import keys
from schemas.directory import ApiKeyRecord
from schemas.partitioning import partition_of

SERVICE = {"Authorization": f"Bearer {SERVICE_TOKEN}"}
INACTIVE = {"active": False}


def path(api: Api, suffix: str = "") -> str:
    return f"/instances/{api.world.instance_id}/api_keys{suffix}"


async def create(api: Api, **fields: Any) -> dict[str, Any]:
    answer = await api("POST", path(api), {"kind": "secret", "name": "backend", **fields})
    assert answer.status == 201, answer.body
    return dict(answer.body)


async def introspect(api: Api, key: str, headers: dict[str, str] = SERVICE) -> Answer:
    return await api("POST", "/api_keys:introspect", {"key": key}, headers=headers)


async def record(redis: Redis, key: str) -> ApiKeyRecord | None:
    raw = await redis.get(keys.api_key(api_keys.digest(key)))
    return msgspec.json.decode(raw, type=ApiKeyRecord) if raw else None


async def until_projected(redis: Redis, key: str, expires_at_ms: int = 0) -> ApiKeyRecord:
    found: ApiKeyRecord | None = None

    async def projected() -> bool:
        nonlocal found
        found = await record(redis, key)
        return found is not None and found.expires_at_ms == expires_at_ms

    await eventually(projected, "the key is projected")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "prefix", "origins"),
    [("secret", "rm_sk_", []), ("mcp", "rm_mcp_", []), ("widget", "rm_wk_", ["https://shop.example.com"])],
)
async def test_a_key_is_shown_once_and_opens_the_instance(
    api: Api, redis: Redis, kind: str, prefix: str, origins: list[str]
) -> None:
    made = await create(api, kind=kind, allowed_origins=origins, scopes=["runs:write"])

    assert api_keys.is_well_formed(made["key"])
    assert made["key"].startswith(made["prefix"])
    assert made["prefix"].startswith(prefix)
    found = await until_projected(redis, made["key"])
    assert (found.key_id, found.kind, found.instance_id) == (made["key_id"], kind, api.world.instance_id)
    assert (found.org_id, found.tenant_id) == (api.world.org_id, api.world.tenant_id)
    assert (list(found.allowed_origins), found.scopes) == (origins, ("runs:write",))
    listed = (await api("GET", path(api))).body["api_keys"]
    assert "key" not in listed[0]
    assert made["key"] not in str(listed)
    (entry,) = await api.world.audited(made["key_id"])
    assert (entry.action, entry.actor) == ("api_key.create", "owner@example.com")
    assert made["key"] not in str(entry.details)


async def test_a_revoked_key_is_gone_from_redis_and_announced(api: Api, redis: Redis) -> None:
    made = await create(api)
    await until_projected(redis, made["key"])
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(keys.KEY_CHANGED_CHANNEL)
        await pubsub.get_message(timeout=1)
        assert (await api("DELETE", path(api, f"/{made['key_id']}"))).status == 204
        # What was said of its beginning may come only now: it is gone when the last of it was said.
        found = await record(redis, made["key"])
        async with asyncio.timeout(PATIENCE_S):
            while found is not None and not found.revoked:
                message = await pubsub.get_message(timeout=0.05)
                assert message is None or message["data"].decode() == api_keys.digest(made["key"])
                if message is not None:
                    found = await record(redis, made["key"])

    assert (await introspect(api, made["key"])).body == INACTIVE
    assert (await api("DELETE", path(api, f"/{made['key_id']}"))).status == 204
    assert [entry.action for entry in await api.world.audited(made["key_id"])] == [
        "api_key.create",
        "api_key.revoke",
    ]
    (listed,) = (await api("GET", path(api))).body["api_keys"]
    assert (listed["status"], listed["revoked_at_ms"]) == ("revoked", api.world.clock())


async def test_a_rotated_key_stays_valid_for_the_grace_period(api: Api, redis: Redis) -> None:
    old = await create(api, kind="widget", allowed_origins=["https://a.example"], name="site")
    answer = await api("POST", path(api, f"/{old['key_id']}:rotate"), {"grace_s": 60})
    new = answer.body

    assert answer.status == 201
    assert (new["name"], new["kind"], new["allowed_origins"]) == ("site", "widget", ["https://a.example"])
    assert (new["rotated_from"], new["expires_at_ms"]) == (old["key_id"], 0)
    await until_projected(redis, new["key"])
    await until_projected(redis, old["key"], api.world.clock() + 60_000)
    assert (await introspect(api, old["key"])).body["active"]
    again = await api("POST", path(api, f"/{old['key_id']}:rotate"))
    assert (again.status, again.body["code"]) == (409, "conflict")
    api.world.clock.at_ms += 60_000
    assert (await introspect(api, old["key"])).body == INACTIVE
    assert (await introspect(api, new["key"])).body["active"]
    assert (await api("POST", path(api, f"/{old['key_id']}:rotate"))).status == 409


async def test_a_rotation_never_prolongs_a_key(api: Api) -> None:
    soon = api.world.clock() + 1_000
    old = await create(api, expires_at_ms=soon)
    new = (await api("POST", path(api, f"/{old['key_id']}:rotate"))).body

    listed = {key["key_id"]: key for key in (await api("GET", path(api))).body["api_keys"]}
    assert listed[old["key_id"]]["expires_at_ms"] == soon
    assert new["expires_at_ms"] == soon


async def test_introspection_says_whose_key_it_is_and_what_it_opens(api: Api) -> None:
    made = await create(api, scopes=["runs:read"])

    answer = await introspect(api, made["key"])

    assert answer.status == 200
    body = answer.body
    assert body["active"] is True
    assert (body["tenant_id"], body["org_id"]) == (api.world.tenant_id, api.world.org_id)
    assert (body["instance_id"], body["kind"]) == (api.world.instance_id, "secret")
    assert body["entitlements"]["models"] == ["gpt-4o-mini", "gpt-4o"]
    assert body["entitlements"]["limits"]["requests_per_minute"] == 60


async def test_a_key_that_opens_nothing_is_answered_without_a_hint(api: Api) -> None:
    world = api.world
    revoked, of_suspended = await create(api), await create(api)
    expired = await create(api, expires_at_ms=world.clock() + 1)
    await api("DELETE", path(api, f"/{revoked['key_id']}"))
    foreign = await World.create(world.database)
    assert (await introspect(api, of_suspended["key"])).body["active"]
    world.clock.at_ms += 1
    await world.set_status("suspended")
    other_tenant = await api.headers("admin", "", foreign.tenant_id)

    unknown = api_keys.mint("sk").key
    for key in (revoked["key"], of_suspended["key"], expired["key"], unknown, "nonsense", "x" * 512):
        answer = await introspect(api, key)
        assert (answer.status, answer.body) == (200, INACTIVE)
    await world.set_status("active")
    assert (await introspect(api, of_suspended["key"])).body["active"]
    assert (await introspect(api, of_suspended["key"], other_tenant)).body == INACTIVE
    own_tenant = await api.headers("admin", "")
    assert (await introspect(api, of_suspended["key"], own_tenant)).body["active"]


async def test_only_services_introspect(api: Api) -> None:
    made = await create(api)

    assert (await introspect(api, made["key"], {"Authorization": "Bearer wrong"})).status == 401
    assert (await introspect(api, made["key"], {"Authorization": "Basic x"})).status == 401
    assert (await introspect(api, made["key"], await api.headers("owner"))).status == 403
    assert (await introspect(api, made["key"], await api.headers("viewer", ""))).status == 403
    assert (await api("GET", path(api), headers=SERVICE)).status == 401


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNMETER_CONTROL_INTROSPECTIONS_PER_MINUTE", "100")


async def test_wrong_tokens_are_slowed_down_and_services_are_not(seldom: None, api: Api) -> None:
    made = await create(api)
    wrong = {"Authorization": "Bearer wrong"}
    said = [(await introspect(api, made["key"], wrong)).status for _ in range(12)]

    assert said == [401] * 10 + [429] * 2
    assert (await introspect(api, made["key"], wrong)).headers["Retry-After"] == "1"
    assert (await introspect(api, made["key"], SERVICE)).status == 200


async def test_a_viewer_reads_keys_and_changes_none(api: Api) -> None:
    made = await create(api)
    changes = [
        ("POST", path(api), {"kind": "secret", "name": "x"}),
        ("POST", path(api, f"/{made['key_id']}:rotate"), None),
        ("DELETE", path(api, f"/{made['key_id']}"), None),
    ]
    for method, where, body in changes:
        answer = await api(method, where, body, role="viewer")
        assert (answer.status, answer.body["code"]) == (403, "forbidden")

    listed = await api("GET", path(api), role="viewer")
    assert [key["status"] for key in listed.body["api_keys"]] == ["active"]


async def test_a_foreign_instance_and_its_keys_cannot_be_told_from_none(api: Api) -> None:
    world = api.world
    neighbour = await World.create(world.database, world.tenant_id)
    stranger = await World.create(world.database)
    made = await create(api)
    bodies = []
    for whom in (
        await api.headers("owner", neighbour.org_id),
        await api.headers("owner", stranger.org_id, stranger.tenant_id),
        await api.headers("operator", "", stranger.tenant_id),
    ):
        for method, suffix, body in (
            ("GET", "", None),
            ("POST", "", {"kind": "secret", "name": "x"}),
            ("DELETE", f"/{made['key_id']}", None),
            ("POST", f"/{made['key_id']}:rotate", None),
        ):
            answer = await api(method, path(api, suffix), body, headers=whom)
            assert answer.status == 404
            bodies.append(answer.body)
    nowhere = await api("GET", "/instances/inst_none/api_keys")
    assert all(body == nowhere.body for body in bodies)
    assert (await introspect(api, made["key"])).body["active"]
    # A key of one's own, by the path of an instance that it is not of.
    second = await world.add_instance("Second")
    assert (await api("DELETE", f"/instances/{second}/api_keys/{made['key_id']}")).status == 404


async def test_a_tenants_own_token_manages_its_orgs_keys(api: Api) -> None:
    answer = await api("GET", path(api), headers=await api.headers("admin", ""))
    assert answer.status == 200


async def test_keys_are_listed_in_pages_newest_first(api: Api) -> None:
    made = []
    for number in range(5):
        # Two in each millisecond: the order is by time, then by id.
        api.world.clock.at_ms += number % 2
        made.append((await create(api, name=f"key {number}"))["key_id"])
    seen: list[str] = []
    times: list[int] = []
    cursor = ""
    while True:
        body = (await api("GET", path(api, f"?limit=2{cursor}"))).body
        seen += [key["key_id"] for key in body["api_keys"]]
        times += [key["created_at_ms"] for key in body["api_keys"]]
        if body["next_cursor"] is None:
            break
        cursor = f"&cursor={body['next_cursor']}"

    assert len(seen) == len(set(seen)) == 5
    assert set(seen) == set(made)
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "root", "name": "x"},
        {"kind": "secret", "name": ""},
        {"kind": "secret", "name": "x", "surprise": 1},
        {"kind": "secret", "name": "x", "scopes": ["everything"]},
        {"kind": "secret", "name": "x", "expires_at_ms": 1},
        {"kind": "secret", "name": "x", "allowed_origins": ["https://a.example"]},
        {"kind": "widget", "name": "x"},
        {"kind": "widget", "name": "x", "allowed_origins": ["http://shop.example"]},
        {"kind": "widget", "name": "x", "allowed_origins": ["https://shop.example/path"]},
        {"kind": "widget", "name": "x", "allowed_origins": ["https://*"]},
        {"kind": "widget", "name": "x", "allowed_origins": ["https://user@shop.example"]},
        {"kind": "widget", "name": "x", "allowed_origins": ["null"]},
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(api: Api, body: dict[str, Any]) -> None:
    answer = await api("POST", path(api), body)

    assert (answer.status, answer.body["code"]) == (422, "invalid_request")
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_an_instance_has_so_many_keys_and_none_when_it_ended(api: Api) -> None:
    made = []
    while len(made) < MAX_LIVE_KEYS:
        # Not all at once: they wait for one another's lock, which has an end on a busy machine.
        made += await asyncio.gather(*(create(api) for _ in range(10)))
    full = await api("POST", path(api), {"kind": "secret", "name": "one more"})
    assert (full.status, full.body["code"]) == (409, "conflict")
    await api("DELETE", path(api, f"/{made[0]['key_id']}"))
    assert (await api("POST", path(api), {"kind": "secret", "name": "one more"})).status == 201
    await api.world.set_status("ended")
    assert (await api("POST", path(api), {"kind": "secret", "name": "too late"})).status == 409


async def test_the_last_use_is_collected_and_never_goes_back(api: Api, redis: Redis) -> None:
    made = await create(api)
    collector = LastUsedCollector(api.world.database, redis)

    async def use(at_ms: int) -> int:
        await redis.hset(keys.key_last_used(), made["key_id"], str(at_ms))
        await collector.turn()
        (key,) = (await api("GET", path(api))).body["api_keys"]
        return int(key["last_used_at_ms"])

    await redis.hset(keys.key_last_used(), "key_nobody", "not a number")
    assert [await use(at_ms) for at_ms in (500, 900, 700)] == [500, 900, 900]
    assert not await redis.hexists(keys.key_last_used(), made["key_id"])


async def test_a_widgets_key_is_let_in_elsewhere_at_once(api: Api, redis: Redis) -> None:
    made = await create(api, kind="widget", allowed_origins=["https://a.example"], name="site")
    await until_projected(redis, made["key"])
    where = path(api, f"/{made['key_id']}")

    changed = await api("PATCH", where, {"allowed_origins": ["https://b.example"], "name": "new site"})
    assert (changed.status, changed.body["name"]) == (200, "new site")

    async def told() -> bool:
        found = await record(redis, made["key"])
        return found is not None and found.allowed_origins == ("https://b.example",)

    await eventually(told, "gateways know the new origin")
    renamed = await api("PATCH", where, {"name": "again"})
    assert (renamed.body["name"], renamed.body["allowed_origins"]) == ("again", ["https://b.example"])
    for body in ({"allowed_origins": []}, {"allowed_origins": ["http://evil.example"]}, {"scopes": []}):
        assert (await api("PATCH", where, body)).status == 422
    plain = await create(api)
    refused = await api("PATCH", path(api, f"/{plain['key_id']}"), {"allowed_origins": ["https://b.example"]})
    assert refused.status == 422
    assert (await api("DELETE", where)).status == 204
    assert (await api("PATCH", where, {"name": "late"})).status == 409


async def test_pages_that_tried_a_key_in_vain_are_told(api: Api, redis: Redis) -> None:
    made = await create(api, kind="widget", allowed_origins=["https://a.example"])
    partition = partition_of(api.world.org_id, 8)
    today = start_of("day", api.world.clock())
    for days_ago, origin, tries in (
        (0, "https://thief.example", 2),
        (3, "https://thief.example", 5),
        (8, "x", 9),
    ):
        day = keys.widget_blocked(partition, made["key_id"], today - days_ago * 86_400_000)
        await redis.hincrby(day, origin, tries)

    answer = await api("GET", path(api, f"/{made['key_id']}/blocked_origins"))
    assert answer.body == {"origins": [{"origin": "https://thief.example", "tries": 7}]}
