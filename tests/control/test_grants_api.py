"""An operator gives credits and takes them back, each once, through the outbox."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from control_server import Answer, Api
from control_world import NOW

from console_api.control.credits import service as credits
from schemas import topics
from schemas.directory import Role
from schemas.events import GrantEvent

KEY = "give-once-1"
TERMS: dict[str, Any] = {"kind": "promotion", "amount_micro": 5_000_000, "reason": "welcome offer"}


async def _ask(api: Api, method: str, path: str, body: Any = None, key: str = KEY) -> Answer:
    headers = await api.headers("operator", "")
    return await api(method, path, body, headers=headers, **({"Idempotency-Key": key} if body else {}))


async def _give(api: Api, key: str = KEY, **changes: Any) -> Answer:
    return await _ask(api, "POST", "/grants", {"org_id": api.world.org_id, **TERMS, **changes}, key)


async def _events(api: Api) -> list[GrantEvent]:
    rows = [row for row in await api.world.outbox() if row.topic == topics.GRANTS.name]
    assert {row.key for row in rows} <= {api.world.org_id}
    return [msgspec.json.decode(row.payload, type=GrantEvent) for row in rows]


async def test_credits_are_given_once(api: Api) -> None:
    first = await _give(api, priority=20, expires_at_ms=NOW + 86_400_000)
    again = await _give(api, priority=20, expires_at_ms=NOW + 86_400_000)

    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    (event,) = await _events(api)
    assert (event.grant_id, event.amount_micro) == (first.body["grant_id"], 5_000_000)
    assert event.kind == "promotion"
    assert (event.priority, event.expires_at_ms, event.reason) == (20, NOW + 86_400_000, "welcome offer")
    (entry,) = await api.world.audited(first.body["grant_id"])
    assert (entry.actor, entry.action) == ("operator@example.com", "grant.issue")
    listed = (await _ask(api, "GET", f"/grants?org_id={api.world.org_id}")).body["grants"]
    assert listed == [first.body]
    assert listed[0]["org_name"] == "A buyer"


async def test_a_key_stands_for_one_grant_only(api: Api) -> None:
    await _give(api)
    other = await _give(api, amount_micro=6_000_000)

    assert (other.status, other.body["code"]) == (409, "conflict")
    assert len(await _events(api)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_micro": 0},
        {"amount_micro": 10**14},
        {"kind": "purchase"},
        {"priority": 999},
        {"expires_at_ms": 5},
        {"effective_at_ms": NOW + 10, "expires_at_ms": NOW + 10},
        {"reason": "  "},
    ],
)
async def test_a_grant_that_makes_no_sense_is_refused(api: Api, changes: dict[str, Any]) -> None:
    answer = await _give(api, **changes)

    assert (answer.status, answer.body["code"]) == (422, "invalid_request")
    assert await _events(api) == []


async def test_a_grant_is_refunded_and_voided_once_each(api: Api) -> None:
    grant_id = (await _give(api)).body["grant_id"]
    refund = {"amount_micro": 2_000_000, "reason": "paid back by hand"}
    for _ in range(2):
        answer = await _ask(api, "POST", f"/grants/{grant_id}:refund", refund, "refund-once")
        assert (answer.status, answer.body["refunded_micro"]) == (200, 2_000_000)
    more = {**refund, "amount_micro": 3_000_001}
    beyond = await _ask(api, "POST", f"/grants/{grant_id}:refund", more, "more-than-it-was")
    assert (beyond.status, beyond.body["code"]) == (409, "conflict")
    for _ in range(2):
        voided = await _ask(api, "POST", f"/grants/{grant_id}:void", {"reason": "a mistake"}, "void-once")
        assert voided.body["voided_at_ms"] == NOW

    assert [event.action for event in await _events(api)] == ["issue", "refund", "void"]
    assert [command["action"] for command in voided.body["commands"]] == ["refund", "void"]


async def test_what_an_order_gave_is_taken_back(api: Api) -> None:
    async with api.world.database.writing() as session:
        bought = GrantEvent(
            tenant_id=api.world.tenant_id,
            org_id=api.world.org_id,
            kind="purchase",
            amount_micro=5_000_000,
            # As orders name theirs.
            grant_id=f"order/{api.world.org_id}",
            occurred_at_ms=NOW,
        )
        assert await credits.issue(session, bought, actor="buyer", at_ms=NOW)
    path = f"/grants/{quote(bought.grant_id, safe='')}"

    refund = {"amount_micro": 2_000_000, "reason": "paid back by hand"}
    assert (await _ask(api, "POST", f"{path}:refund", refund, "refund-once")).status == 200
    assert (await _ask(api, "POST", f"{path}:void", {"reason": "a mistake"}, "void-once")).status == 200

    assert [event.action for event in await _events(api)] == ["issue", "refund", "void"]


@pytest.mark.parametrize("role", ["owner", "admin", "member", "viewer"])
async def test_only_operators_give(api: Api, role: Role) -> None:
    grant_id = (await _give(api)).body["grant_id"]
    for method, path, body in (
        ("GET", "/grants", None),
        ("POST", "/grants", {"org_id": api.world.org_id, **TERMS}),
        ("POST", f"/grants/{grant_id}:void", {"reason": "mine now"}),
        ("POST", f"/grants/{grant_id}:refund", {"reason": "mine now", "amount_micro": 1}),
    ):
        answer = await api(method, path, body, role=role, **{"Idempotency-Key": "not-allowed"})
        assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert len(await _events(api)) == 1


async def test_another_tenant_gives_and_takes_nothing_here(api: Api) -> None:
    grant_id = (await _give(api)).body["grant_id"]
    stranger = {**await api.headers("operator", "", "tenant_elsewhere"), "Idempotency-Key": "a-stranger"}
    for path, body in (
        ("/grants", {"org_id": api.world.org_id, **TERMS}),
        (f"/grants/{grant_id}:void", {"reason": "mine now"}),
    ):
        assert (await api("POST", path, body, headers=stranger)).status == 404
    assert (await api("GET", "/grants", headers=stranger)).body["grants"] == []


async def test_pages_of_grants_follow_each_other(api: Api) -> None:
    for number in range(5):
        api.world.clock.at_ms = NOW + number
        await _give(api, f"grant-number-{number}")
    seen: list[int] = []
    cursor = ""
    while True:
        body = (await _ask(api, "GET", f"/grants?limit=2{cursor}")).body
        seen += [grant["created_at_ms"] for grant in body["grants"]]
        if not body["next_cursor"]:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert seen == [NOW + number for number in reversed(range(5))]
