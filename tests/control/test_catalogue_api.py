"""What is on offer, who changes it, and what that changes."""

from __future__ import annotations

from typing import Any

import pytest
from control_server import Api
from control_world import World

from schemas.directory import Role

PRODUCT = {"name": "Support agent"}
PLAN: dict[str, Any] = {
    "product": "agent",
    "name": "Pro",
    "entitlements": {"models": ["gpt-4o"], "limits": {"monthly_cap_micro": 5_000_000}},
    "allowance": {"amount_micro": 100_000_000, "every": "month", "rollover_cap_micro": 1_000_000},
    "prices": [{"currency": "usd", "amount_minor": 4_900, "every": "month", "provider_ref": "price_1"}],
}
BUYERS: tuple[Role, ...] = ("owner", "admin", "member", "viewer")


async def test_an_operator_offers_and_buyers_see_it(api: Api) -> None:
    made = await api("PUT", "/plans/pro", PLAN, role="operator")
    assert (made.status, made.headers["ETag"]) == (200, '"1"')

    seen = (await api("GET", "/plans/pro", role="viewer")).body
    assert seen == made.body
    assert (seen["product"], seen["allowance"]["every"]) == ("agent", "month")
    assert seen["entitlements"]["limits"]["monthly_cap_micro"] == 5_000_000
    listed = (await api("GET", "/plans?product=agent")).body["plans"]
    assert [plan["code"] for plan in listed] == ["pro", "starter"]
    (entry,) = await api.world.audited(seen["plan_id"])
    assert entry.actor == "operator@example.com"


async def test_the_same_terms_again_change_nothing(api: Api) -> None:
    answers = [await api("PUT", "/plans/pro", PLAN, role="operator") for _ in range(2)]

    assert answers[0].body == answers[1].body
    assert len(await api.world.audited(answers[0].body["plan_id"])) == 1


@pytest.mark.parametrize("role", BUYERS)
async def test_only_operators_change_what_is_on_offer(api: Api, role: Role) -> None:
    for where, body in (("/products/agent", PRODUCT), ("/plans/pro", PLAN)):
        answer = await api("PUT", where, body, role=role)
        assert (answer.status, answer.body["code"]) == (403, "forbidden")


async def test_drafts_are_the_operators_business(api: Api) -> None:
    await api("PUT", "/products/secret", {**PRODUCT, "status": "draft"}, role="operator")

    assert (await api("GET", "/products/secret")).status == 404
    assert [product["code"] for product in (await api("GET", "/products")).body["products"]] == ["agent"]
    seen = (await api("GET", "/products", role="operator")).body["products"]
    assert [product["code"] for product in seen] == ["agent", "secret"]


async def test_another_tenants_offers_are_not_there(api: Api) -> None:
    await api("PUT", "/plans/pro", PLAN, role="operator")
    foreign = await World.create(api.world.database)
    headers = await api.headers("operator", "", foreign.tenant_id)

    assert (await api("GET", "/plans/pro", headers=headers)).status == 404
    listed = (await api("GET", "/plans", headers=headers)).body["plans"]
    assert [plan["code"] for plan in listed] == ["starter"]


async def test_a_change_of_what_has_changed_meanwhile_is_refused(api: Api) -> None:
    only_new = {"If-None-Match": "*"}
    first = await api("PUT", "/products/new", PRODUCT, role="operator", **only_new)
    assert first.status == 200
    again = await api("PUT", "/products/new", PRODUCT, role="operator", **only_new)
    assert (again.status, again.body["code"]) == (412, "precondition_failed")
    tag = {"If-Match": first.headers["ETag"]}
    renamed = {**PRODUCT, "name": "Renamed"}
    assert (await api("PUT", "/products/new", renamed, role="operator", **tag)).status == 200
    assert (await api("PUT", "/products/new", PRODUCT, role="operator", **tag)).status == 412
    assert (await api("GET", "/products/new")).body["name"] == "Renamed"


async def test_lists_come_in_pages(api: Api) -> None:
    for number in range(4):
        await api("PUT", f"/products/p{number}", PRODUCT, role="operator")
    first = (await api("GET", "/products?limit=3")).body
    second = (await api("GET", f"/products?limit=3&cursor={first['next_cursor']}")).body

    codes = [product["code"] for page in (first, second) for product in page["products"]]
    assert codes == ["agent", "p0", "p1", "p2", "p3"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"product": "none"},
        {"entitlements": {"models": []}},
        {"entitlements": {"models": ["m"], "limits": {"daily_cap_micro": -1}}},
        {"entitlements": {"models": ["m"], "channels": ["fax"]}},
        {"allowance": {"amount_micro": 0, "every": "month"}},
        {"allowance": {"amount_micro": 1.5, "every": "month"}},
        {"prices": [{"currency": "USD", "amount_minor": 1, "every": "month"}]},
        {"surprise": 1},
    ],
)
async def test_terms_that_make_no_sense_are_refused(api: Api, change: dict[str, Any]) -> None:
    answer = await api("PUT", "/plans/pro", {**PLAN, **change}, role="operator")

    assert (answer.status, answer.body["code"]) == (422, "invalid_request")
