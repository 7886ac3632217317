"""Signing in with an issuer's token: what is believed, what is refused, and who it is."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import issuer_server
import pytest
import pytest_asyncio
from containers import free_ports
from control_places import Place
from control_server import Answer, Api, serving
from control_world import World
from issuer_server import Issuer, rsa
from joserfc.jwk import ECKey, OctKey
from redis.asyncio import Redis

from console_api.control.directory import service as directory
from console_api.database.tables import Org
from kit.settings import OidcSettings


@dataclass
class Desk:
    """The API, and the issuer whose tokens it takes."""

    api: Api
    issuer: Issuer
    world: World

    async def __call__(
        self, method: str, path: str, body: Any = None, token: str = "", **extra: str
    ) -> Answer:
        headers = {"Authorization": f"Bearer {token or self.issuer.token()}"}
        return await self.api(method, path, body, headers=headers, **extra)

    async def join(self, subject: str, role: Any, org_id: str = "") -> None:
        """Make somebody a member."""
        async with self.world.database.writing() as session:
            org = await session.get(Org, org_id or self.world.org_id)
            assert org is not None
            await directory.ensure_member(
                session, org, issuer=self.issuer.url, subject=subject, role=role, at_ms=self.world.clock()
            )


@pytest_asyncio.fixture
async def desk(place: Place, redis_url: str, redis: Redis, world: World) -> AsyncIterator[Desk]:
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    async with issuer_server.running(world.clock() // 1000) as issuer:
        settings = OidcSettings(issuer=issuer.url, tenant_id=world.tenant_id, leeway_s=30)
        async with (
            serving(place, redis_url, nowhere, world, oidc=settings) as url,
            aiohttp.ClientSession() as http,
        ):
            yield Desk(Api(url, http, redis, world), issuer, world)


async def test_a_member_is_known_by_the_issuers_subject(desk: Desk) -> None:
    await desk.join("f3a1-ada", "admin")

    answer = await desk("GET", "/account")

    assert answer.status == 200
    assert answer.body == {
        "subject": "ada@example.com",
        "tenant_id": desk.world.tenant_id,
        "org_id": desk.world.org_id,
        "role": "admin",
    }
    listed = (await desk("GET", "/account/team")).body["members"]
    assert [(m["email"], m["name"], m["role"]) for m in listed] == [("ada@example.com", "Ada", "admin")]


async def test_somebody_new_belongs_to_no_org_and_may_make_one(desk: Desk) -> None:
    refused = await desk("GET", "/account")
    assert (refused.status, refused.body["needs"]) == (403, "org")
    assert (await desk("GET", "/account/orgs")).body == {"orgs": [], "is_operator": False}

    made = await desk("POST", "/account/orgs", {"name": "  Ada & Co  "})
    assert (made.status, made.body["name"], made.body["role"]) == (201, "Ada & Co", "owner")
    assert (await desk("GET", "/account")).body["org_id"] == made.body["org_id"]
    assert (await desk("GET", "/account/instances")).body["instances"] == []


async def test_who_belongs_to_several_orgs_says_which_one(desk: Desk) -> None:
    await desk.join("f3a1-ada", "viewer")
    second = (await desk("POST", "/account/orgs", {"name": "Second"})).body["org_id"]

    listed = (await desk("GET", "/account/orgs")).body["orgs"]
    assert {org["org_id"]: org["role"] for org in listed} == {desk.world.org_id: "viewer", second: "owner"}
    chosen = await desk("GET", "/account", **{"X-Runmeter-Org": second})
    assert (chosen.body["org_id"], chosen.body["role"]) == (second, "owner")
    foreign = await desk("GET", "/account", **{"X-Runmeter-Org": "org_of_others"})
    assert (foreign.status, foreign.body["code"]) == (403, "forbidden")


async def test_an_operator_speaks_for_the_tenant_or_one_of_its_orgs(desk: Desk) -> None:
    token = desk.issuer.token(sub="olga", realm_access={"roles": ["runmeter-operator"]})

    account = (await desk("GET", "/account", token=token)).body
    assert (account["org_id"], account["role"]) == ("", "operator")
    listed = (await desk("GET", "/orgs", token=token)).body["orgs"]
    assert desk.world.org_id in [org["org_id"] for org in listed]
    named = await desk("GET", "/account/org", token=token, **{"X-Runmeter-Org": desk.world.org_id})
    assert named.body["org_id"] == desk.world.org_id
    stranger = await World.create(desk.world.database)
    foreign = await desk("GET", "/account/org", token=token, **{"X-Runmeter-Org": stranger.org_id})
    assert foreign.status == 404
    assert (await desk("GET", "/orgs")).status == 403


async def test_an_analyst_looks_at_the_tenant_and_changes_nothing(desk: Desk) -> None:
    token = desk.issuer.token(sub="anna", realm_access={"roles": ["runmeter-analyst"]})

    account = (await desk("GET", "/account", token=token)).body
    assert (account["org_id"], account["role"]) == ("", "viewer")
    assert (await desk("GET", "/meters", token=token)).status == 200
    assert (await desk("GET", "/account/orgs", token=token)).body == {"orgs": [], "is_operator": False}
    for path in ("/orgs", "/grants", "/prices"):
        assert (await desk("GET", path, token=token)).status == 403
    terms = {"org_id": desk.world.org_id, "amount_micro": 1, "kind": "promotion", "reason": "none"}
    granted = await desk("POST", "/grants", terms, token=token, **{"Idempotency-Key": "once-only"})
    assert (granted.status, granted.body["needs"]) == (403, "operator")


async def test_an_analyst_who_belongs_to_an_org_may_mean_it(desk: Desk) -> None:
    token = desk.issuer.token(sub="anna", realm_access={"roles": ["runmeter-analyst"]})
    await desk.join("anna", "admin")

    assert (await desk("GET", "/account", token=token)).body["org_id"] == ""
    named = (await desk("GET", "/account", token=token, **{"X-Runmeter-Org": desk.world.org_id})).body
    assert (named["org_id"], named["role"]) == (desk.world.org_id, "admin")
    foreign = await desk("GET", "/account", token=token, **{"X-Runmeter-Org": "org_of_others"})
    assert foreign.status == 403


def unsigned(claims_of: str) -> str:
    """Return the same token with `alg: none`."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "first"}).encode()).rstrip(b"=")
    return f"{header.decode()}.{claims_of.split('.')[1]}."


def wrong_tokens(issuer: Issuer) -> dict[str, str]:
    now = issuer.now_s
    public = json.dumps(issuer.keys[0].as_dict(private=False))
    return {
        "another issuer's": issuer.token(iss="https://evil.example.com"),
        "for another audience": issuer.token(aud="account", azp="other"),
        "for nobody": issuer.token(aud=None, azp=None),
        "expired": issuer.token(exp=now - 31),
        "without an end": issuer.token(exp=None),
        "not valid yet": issuer.token(nbf=now + 31),
        "without a subject": issuer.token(sub=None),
        "signed by a key of the same name": issuer.token(rsa("first")),
        "signed by nobody": unsigned(issuer.token()),
        "signed with the public key as a secret": issuer.token(
            OctKey.import_key(public, {"kid": "first"}),  # type: ignore[arg-type]
            "HS256",
        ),
        "changed": issuer.token()[:-4] + "AAAA",
        "no token": "a.b.c",
        "too long": "a." + "b" * 9_000 + ".c",
    }


async def test_what_is_not_the_issuers_word_is_refused_without_a_reason(desk: Desk) -> None:
    await desk.join("f3a1-ada", "owner")
    for what, token in wrong_tokens(desk.issuer).items():
        answer = await desk("GET", "/account", token=token)
        assert (answer.status, answer.body["code"]) == (401, "unauthorized"), what
        assert token not in str(answer.body), what
    assert (await desk("GET", "/account")).status == 200


async def test_clocks_may_differ_a_little(desk: Desk) -> None:
    await desk.join("f3a1-ada", "owner")
    now = desk.issuer.now_s
    for claims in ({"exp": now - 29}, {"nbf": now + 29}, {"iat": now + 29}):
        assert (await desk("GET", "/account", token=desk.issuer.token(**claims))).status == 200, claims


async def test_a_client_named_only_by_azp_will_do(desk: Desk) -> None:
    await desk.join("f3a1-ada", "owner")
    token = desk.issuer.token(aud="account", azp="runmeter")
    assert (await desk("GET", "/account", token=token)).status == 200


async def test_keys_rotate(desk: Desk) -> None:
    await desk.join("f3a1-ada", "owner")
    assert (await desk("GET", "/account")).status == 200
    desk.issuer.keys.append(ECKey.generate_key("P-256", {"kid": "second", "use": "sig"}))
    desk.world.clock.at_ms += 11_000

    assert (await desk("GET", "/account", token=desk.issuer.token(alg="ES256"))).status == 200
    assert (await desk("GET", "/account", token=desk.issuer.token(desk.issuer.keys[0]))).status == 200
    assert desk.issuer.asked == 2


async def test_a_flood_of_unknown_keys_does_not_make_us_ask_on_and_on(desk: Desk) -> None:
    assert (await desk("GET", "/account/orgs")).status == 200
    for number in range(20):
        token = desk.issuer.token(rsa(f"unknown-{number}") if number < 3 else rsa("unknown"))
        assert (await desk("GET", "/account", token=token)).status == 401
    assert desk.issuer.asked == 1


async def test_an_issuer_that_is_away_is_not_needed_for_what_is_known(desk: Desk) -> None:
    await desk.join("f3a1-ada", "owner")
    desk.issuer.away = True
    unknown = await desk("GET", "/account")
    assert (unknown.status, unknown.headers["Retry-After"]) == (503, "5")
    desk.issuer.away = False
    desk.world.clock.at_ms += 11_000
    assert (await desk("GET", "/account")).status == 200

    desk.issuer.away = True
    desk.world.clock.at_ms += 4_000_000
    later = desk.issuer.token(iat=desk.world.clock() // 1000, exp=desk.world.clock() // 1000 + 60)
    assert (await desk("GET", "/account", token=later)).status == 200


async def test_a_document_of_another_issuer_is_not_believed(desk: Desk) -> None:
    desk.issuer.called = "https://evil.example.com/realms/market"
    assert (await desk("GET", "/account")).status == 503


async def test_an_address_that_is_not_verified_takes_up_no_invitation(desk: Desk) -> None:
    await desk.join("f3a1-ada", "owner")
    invited = await desk("POST", "/account/team/invitations", {"email": "Bob@Example.com", "role": "member"})
    assert (invited.status, invited.body["email"]) == (201, "bob@example.com")

    def bob(subject: str, verified: bool) -> str:
        return desk.issuer.token(sub=subject, email="bob@example.com", name="Bob", email_verified=verified)

    assert (await desk("GET", "/account", token=bob("bob-1", False))).status == 403
    joined = await desk("GET", "/account", token=bob("bob-2", True))
    assert (joined.status, joined.body["role"]) == (200, "member")
    team = (await desk("GET", "/account/team")).body
    assert [m["email"] for m in team["members"]] == ["ada@example.com", "bob@example.com"]
    assert team["invitations"] == []
    assert (await desk("GET", "/account", token=bob("bob-3", True))).status == 403


@pytest.mark.parametrize("wait_ms", [0, 6_000])
async def test_a_changed_role_counts_at_once(desk: Desk, wait_ms: int) -> None:
    await desk.join("f3a1-ada", "owner")
    await desk.join("bob", "admin")
    bob = desk.issuer.token(sub="bob", email="bob@example.com")
    assert (await desk("GET", "/account/audit", token=bob)).status == 200
    (user_id,) = [
        m["user_id"]
        for m in (await desk("GET", "/account/team")).body["members"]
        if m["email"].startswith("bob")
    ]

    changed = await desk("PATCH", f"/account/team/{user_id}", {"role": "viewer"})
    assert (changed.status, changed.body["role"]) == (200, "viewer")
    desk.world.clock.at_ms += wait_ms
    assert (await desk("GET", "/account/audit", token=bob)).status == 403
    assert (await desk("DELETE", f"/account/team/{user_id}")).status == 204
    desk.world.clock.at_ms += wait_ms
    assert (await desk("GET", "/account", token=bob)).status == 403
