"""Teams and the audit log: who may do what to whom, and what is written down of it."""

from __future__ import annotations

from typing import Any

import pytest
from control_server import Api
from control_world import World

from console_api.control.directory import service as directory
from console_api.database.tables import Org
from schemas.directory import Role


async def member(world: World, name: str, role: Role) -> str:
    """Make a member; return the user's id."""
    async with world.database.writing() as session:
        org = await session.get(Org, world.org_id)
        assert org is not None
        user = await directory.ensure_member(
            session,
            org,
            issuer="https://sso.example.com",
            subject=name,
            role=role,
            at_ms=world.clock(),
            email=f"{name}@example.com",
        )
        return user.user_id


async def roles_of(api: Api) -> dict[str, str]:
    team = (await api("GET", "/account/team")).body
    return {entry["email"].partition("@")[0]: entry["role"] for entry in team["members"]}


async def test_an_org_keeps_an_owner(api: Api) -> None:
    ada = await member(api.world, "ada", "owner")
    for method, body in (("PATCH", {"role": "admin"}), ("DELETE", None)):
        answer = await api(method, f"/account/team/{ada}", body)
        assert (answer.status, answer.body["code"]) == (409, "conflict")
    bob = await member(api.world, "bob", "viewer")
    assert (await api("PATCH", f"/account/team/{bob}", {"role": "owner"})).status == 200
    assert (await api("DELETE", f"/account/team/{ada}")).status == 204
    assert await roles_of(api) == {"bob": "owner"}


@pytest.mark.parametrize(
    ("by", "of", "to", "status"),
    [
        ("admin", "member", "admin", 200),
        ("admin", "member", "owner", 403),
        ("admin", "owner", "member", 403),
        ("owner", "owner", "member", 200),
        ("operator", "owner", "viewer", 200),
        ("member", "viewer", "member", 403),
        ("viewer", "viewer", "owner", 403),
    ],
)
async def test_owners_are_the_owners_business(api: Api, by: Role, of: Role, to: str, status: int) -> None:
    await member(api.world, "first", "owner")
    user_id = await member(api.world, "whom", of)

    answer = await api("PATCH", f"/account/team/{user_id}", {"role": to}, role=by)

    assert answer.status == status
    assert (await roles_of(api))["whom"] == (to if status == 200 else of)


async def test_invitations_are_prolonged_withdrawn_and_run_out(api: Api) -> None:
    async def invite(**body: Any) -> Any:
        return await api("POST", "/account/team/invitations", {"email": "bob@example.com", **body})

    first = (await invite()).body
    assert (first["role"], first["invited_by"]) == ("member", "owner@example.com")
    api.world.clock.at_ms += 86_400_000
    again = (await invite(role="viewer")).body
    assert again["invitation_id"] == first["invitation_id"]
    assert (again["role"], again["expires_at_ms"] - first["expires_at_ms"]) == ("viewer", 86_400_000)
    assert (await api("DELETE", f"/account/team/invitations/{first['invitation_id']}")).status == 204
    assert (await api("DELETE", f"/account/team/invitations/{first['invitation_id']}")).status == 404

    await invite()
    api.world.clock.at_ms += 15 * 86_400_000
    assert (await api("GET", "/account/team")).body["invitations"] == []


@pytest.mark.parametrize("email", ["", "bob", "bob@", "@example.com", "bob@example", "a b@example.com"])
async def test_what_is_no_address_is_not_invited(api: Api, email: str) -> None:
    answer = await api("POST", "/account/team/invitations", {"email": email})
    assert (answer.status, answer.body["code"]) == (422, "invalid_request")


async def test_who_belongs_already_is_not_invited(api: Api) -> None:
    await member(api.world, "bob", "viewer")
    answer = await api("POST", "/account/team/invitations", {"email": "BOB@example.com"})
    assert (answer.status, answer.body["code"]) == (409, "conflict")


async def test_the_audit_log_tells_what_was_done_in_pages(api: Api) -> None:
    for number in range(5):
        api.world.clock.at_ms += 1
        body = {"email": f"guest-{number}@example.com"}
        assert (await api("POST", "/account/team/invitations", body, role="admin")).status == 201
    found, cursor = [], ""
    while True:
        page = (await api("GET", f"/account/audit?action=team&limit=2{cursor}")).body
        found += page["entries"]
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert [entry["details"]["email"] for entry in found] == [
        f"guest-{number}@example.com" for number in reversed(range(5))
    ]
    assert {(e["actor"], e["action"], e["org_id"]) for e in found} == {
        ("admin@example.com", "team.invite", api.world.org_id)
    }
    since = found[1]["at_ms"]
    assert len((await api("GET", f"/account/audit?action=team&from_ms={since}")).body["entries"]) == 2
    nobody = await api("GET", "/account/audit?actor=nobody")
    assert nobody.body["entries"] == []


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("member", 403), ("admin", 200), ("owner", 200)]
)
async def test_the_audit_log_is_for_admins(api: Api, role: Role, status: int) -> None:
    assert (await api("GET", "/account/audit", role=role)).status == status
    assert (await api("GET", "/audit", role=role)).status == 403


async def test_operators_read_the_whole_tenants(api: Api) -> None:
    await api("POST", "/account/team/invitations", {"email": "bob@example.com"})
    stranger = await api.headers("operator", org_id="", tenant_id="elsewhere")
    operator = await api.headers("operator", org_id="")

    seen = (await api("GET", "/audit?action=team.invite", headers=operator)).body["entries"]
    assert [entry["org_id"] for entry in seen] == [api.world.org_id]
    assert (await api("GET", "/audit", headers=stranger)).body["entries"] == []
