"""Reading and changing an instance's configuration, and that gateways hear of it."""

from __future__ import annotations

from typing import Any

import pytest
from control_server import Api
from control_world import World, projected
from waiting import eventually

from kit.clock import new_id
from schemas.directory import Branding

TERMS: dict[str, Any] = {
    "name": "Concierge",
    "model": "gpt-4o",
    "system_prompt": "Be brief.",
    "greeting": "Welcome",
    "tools": ["calculator"],
    "branding": {"title": "Ada's shop", "colour": "#0f766e", "position": "left"},
    "limits": {"daily_cap_micro": 5_000_000, "requests_per_minute": 1_000},
}


def path(api: Api, suffix: str = "/config") -> str:
    return f"/instances/{api.world.instance_id}{suffix}"


async def test_a_change_reaches_the_gateways_projection(api: Api) -> None:
    before = await api("GET", path(api))
    assert (before.status, before.headers["ETag"]) == (200, '"1"')
    assert before.body["plan"]["models"] == ["gpt-4o-mini", "gpt-4o"]

    changed = await api("PUT", path(api), TERMS, **{"If-Match": before.headers["ETag"]})

    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    assert {name: changed.body[name] for name in ("name", "model", "tools", "greeting")} == {
        name: TERMS[name] for name in ("name", "model", "tools", "greeting")
    }
    assert (await api("GET", path(api))).body == changed.body

    async def arrived() -> bool:
        record = await projected(api.redis, api.world.instance_id)
        return record.name == "Concierge"

    await eventually(arrived, "the projection follows")
    record = await projected(api.redis, api.world.instance_id)
    assert (record.default_model, record.system_prompt, record.tools) == (
        "gpt-4o",
        "Be brief.",
        ("calculator",),
    )
    assert record.branding == Branding(title="Ada's shop", colour="#0f766e", position="left")
    # Limits of one's own only tighten the plan's sixty a minute.
    assert (record.limits.daily_cap_micro, record.limits.requests_per_minute) == (5_000_000, 60)
    (entry,) = [e for e in await api.world.audited(api.world.instance_id) if e.action == "instance.configure"]
    assert entry.actor == "owner@example.com"


async def test_a_lost_update_is_refused(api: Api) -> None:
    assert (await api("PUT", path(api), TERMS)).status == 428
    first = await api("PUT", path(api), TERMS, **{"If-Match": '"1"'})
    assert first.status == 200

    second = await api("PUT", path(api), {**TERMS, "greeting": "Mine"}, **{"If-Match": '"1"'})

    assert (second.status, second.body["code"]) == (412, "precondition_failed")
    assert (await api("GET", path(api))).body["greeting"] == "Welcome"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "gpt-9"}, "gpt-9"),
        ({"tools": ["root-shell"]}, "root-shell"),
        ({"branding": {"colour": "red; background: url(x)"}}, "colour"),
        ({"branding": {"logo_url": "javascript:alert(1)"}}, "https"),
        ({"branding": {"logo_url": "https://ada:secret@example.com/x.png"}}, "user name"),
        ({"limits": {"daily_cap_micro": -1}}, "daily_cap_micro"),
        ({"limits": {"soft": True}}, "soft"),
        ({"system_prompt": "x" * 32_769}, "system_prompt"),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    api: Api, change: dict[str, Any], said: str
) -> None:
    answer = await api("PUT", path(api), {**TERMS, **change}, **{"If-Match": '"1"'})

    assert answer.status == 422
    assert said in str(answer.body)
    assert (await api("GET", path(api))).headers["ETag"] == '"1"'


async def test_viewers_look_and_strangers_see_nothing(api: Api) -> None:
    assert (await api("GET", path(api), role="viewer")).status == 200
    assert (await api("PUT", path(api), TERMS, role="viewer", **{"If-Match": '"1"'})).status == 403
    other_org = await api.headers("owner", org_id=new_id("org"))
    other_tenant = await api.headers("operator", org_id="", tenant_id=new_id("tenant"))
    for stranger in (other_org, other_tenant):
        for method, body in (("GET", None), ("PUT", TERMS)):
            answer = await api(method, path(api), body, headers={**stranger, "If-Match": '"1"'})
            assert answer.status == 404
        assert (await api("POST", path(api, ":suspend"), {"reason": "x"}, headers=stranger)).status in (
            403,
            404,
        )


async def test_an_operator_suspends_and_resumes(api: Api, world: World) -> None:
    refused = await api("POST", path(api, ":suspend"), {"reason": "unpaid"})
    assert refused.status == 403
    operator = await api.headers("operator", org_id="")

    async def becomes(action: str, status: str) -> None:
        for _ in range(2):
            answer = await api("POST", path(api, action), {"reason": "unpaid invoice"}, headers=operator)
            assert answer.status == 204

        async def arrived() -> bool:
            return (await projected(api.redis, world.instance_id)).status == status

        await eventually(arrived, f"the instance is {status}")

    await becomes(":suspend", "suspended")
    shown = (await api("GET", path(api, ""))).body
    assert (shown["status"], shown["suspended_for"]) == ("suspended", ["operator"])
    await becomes(":resume", "active")
    told = [e.details for e in await world.audited(world.instance_id) if e.action == "instance.status"]
    assert [(entry["was"], entry["now"]) for entry in told] == [
        ("active", "suspended"),
        ("suspended", "active"),
    ]
