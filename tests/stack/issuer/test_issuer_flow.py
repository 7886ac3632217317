"""Signing in: code, PKCE, tokens, refreshing, keys, signing out."""

from __future__ import annotations

import stat
import time
from typing import Any

import pytest
from issuer_rig import CALLBACK, CLIENT, OTHER, OTHER_CALLBACK, SIGN_OUT, App, query
from joserfc import jws, jwt
from joserfc.jwk import KeySet


async def claims(app: App, token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set((await app.http.get("/jwks.json")).json())
    return dict(jwt.decode(token, keys, algorithms=["ES256"]).claims)


def assert_error(answer: Any, code: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text
    assert answer.json()["error_description"]


async def test_a_sign_in_gives_tokens_that_the_published_keys_verify(app: App) -> None:
    answer = await app.log_in("dev-ada")
    assert answer.headers["location"].startswith(CALLBACK + "?")
    assert query(answer) == {"code": query(answer)["code"], "state": "a state & more", "iss": app.issuer.url}

    given = (await app.redeem(query(answer)["code"])).json()
    access = await claims(app, given["access_token"])

    assert given["token_type"] == "Bearer"
    assert given["expires_in"] == 600
    assert access | {"iat": 0, "exp": 0, "jti": "", "sid": ""} == {
        "iss": app.issuer.url,
        "sub": "dev-ada",
        "aud": "runmeter",
        "azp": CLIENT,
        "iat": 0,
        "exp": 0,
        "jti": "",
        "sid": "",
        "scope": "openid profile email",
        "email": "ada@example.com",
        "email_verified": True,
        "name": "Ada Moreau",
        "realm_access": {"roles": []},
    }
    assert access["exp"] - access["iat"] == 600
    assert abs(access["iat"] - time.time()) < 30
    identity = await claims(app, given["id_token"])
    assert (identity["aud"], identity["nonce"], identity["sub"]) == (CLIENT, "n-1", "dev-ada")
    assert identity["sid"] == access["sid"]


async def test_the_operator_has_its_role_and_the_others_none(app: App) -> None:
    roles = {}
    for user in ("dev-ada", "dev-vic", "dev-grace", "dev-olga"):
        access = await claims(app, (await app.tokens(user))["access_token"])
        roles[access["email"]] = access["realm_access"]["roles"]

    assert roles == {
        "ada@example.com": [],
        "vic@example.com": [],
        "grace@example.com": [],
        "olga@example.com": ["runmeter-operator"],
    }


async def test_a_wrong_verifier_gets_nothing_and_uses_the_code_up(app: App) -> None:
    code = await app.code()

    assert_error(await app.redeem(code, code_verifier="x" * 43), "invalid_grant")
    assert_error(await app.redeem(code), "invalid_grant")


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": OTHER},
        {"redirect_uri": CALLBACK + "/"},
        {"code": "made-up"},
        {"code_verifier": "short"},
    ],
)
async def test_a_code_is_for_one_client_and_address(app: App, changed: dict[str, str]) -> None:
    code = await app.code()

    assert_error(await app.redeem(**{"code": code, **changed}), "invalid_grant")


async def test_a_replayed_code_ends_the_session_that_it_began(app: App) -> None:
    code = await app.code()
    first = (await app.redeem(code)).json()

    assert_error(await app.redeem(code), "invalid_grant")
    assert_error(await app.refresh(first["refresh_token"]), "invalid_grant")


async def test_refresh_tokens_rotate_and_one_used_again_ends_the_session(app: App) -> None:
    first = await app.tokens()
    second = (await app.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert "nonce" not in await claims(app, second["id_token"])
    third = (await app.refresh(second["refresh_token"])).json()

    assert_error(await app.refresh(first["refresh_token"]), "invalid_grant")
    assert_error(await app.refresh(third["refresh_token"]), "invalid_grant")


async def test_a_refresh_token_is_its_clients_and_its_scope_never_grows(app: App) -> None:
    given = await app.tokens(scope="openid email")

    assert_error(await app.refresh(given["refresh_token"], client_id=OTHER), "invalid_grant")
    assert_error(await app.refresh(given["refresh_token"], scope="openid profile"), "invalid_scope")
    narrowed = (await app.refresh(given["refresh_token"], scope="openid")).json()
    assert narrowed["scope"] == "openid"


async def test_userinfo_says_what_the_scope_names(app: App) -> None:
    async def userinfo(scope: str) -> Any:
        token = (await app.tokens("dev-vic", scope=scope))["access_token"]
        return (await app.http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})).json()

    assert await userinfo("openid") == {"sub": "dev-vic"}
    assert await userinfo("openid profile email") == {
        "sub": "dev-vic",
        "name": "Vic Tanaka",
        "email": "vic@example.com",
        "email_verified": True,
    }


async def test_userinfo_refuses_everything_but_an_access_token(app: App) -> None:
    given = await app.tokens()
    tampered = given["access_token"][:-4] + ("AAAA" if given["access_token"][-4:] != "AAAA" else "BBBB")
    for header in ("", "Bearer", "Bearer x.y.z", f"Bearer {given['id_token']}", f"Bearer {tampered}"):
        answer = await app.http.get("/userinfo", headers={"Authorization": header})
        assert_error(answer, "invalid_token", 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_what_a_rotated_key_signed_still_verifies_without_a_restart(app: App) -> None:
    before = (await app.tokens())["access_token"]

    new = app.issuer.rotate_key()
    after = (await app.tokens())["access_token"]

    assert jws.extract_compact(after.encode()).headers()["kid"] == new
    assert jws.extract_compact(before.encode()).headers()["kid"] != new
    assert (await claims(app, before))["sub"] == (await claims(app, after))["sub"] == "dev-ada"
    answer = await app.http.get("/userinfo", headers={"Authorization": f"Bearer {before}"})
    assert answer.status_code == 200
    published = (await app.http.get("/jwks.json")).json()["keys"]
    assert len(published) >= 2
    assert not any("d" in key for key in published)
    assert (app.issuer.folder / "issuer" / "keys.json").read_text().count('"d"') == 1


async def test_keys_and_password_outlive_a_restart_and_are_the_owners_only(app: App) -> None:
    token, password = (await app.tokens())["access_token"], app.issuer.password

    await app.issuer.restart()

    assert (await claims(app, token))["sub"] == "dev-ada"
    assert app.issuer.password == password
    for name in ("keys.json", "password"):
        assert stat.S_IMODE((app.issuer.folder / "issuer" / name).stat().st_mode) == 0o600


async def test_the_discovery_document_is_complete_and_its_addresses_answer(app: App) -> None:
    found = (await app.http.get("/.well-known/openid-configuration")).json()

    assert found["issuer"] == app.issuer.url
    assert found["response_types_supported"] == ["code"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["token_endpoint_auth_methods_supported"] == ["none"]
    assert found["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]
    assert found["subject_types_supported"] == ["public"]
    assert "openid" in found["scopes_supported"]
    addresses = {name: url for name, url in found.items() if name.endswith(("_endpoint", "_uri"))}
    assert set(addresses) == {
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "end_session_endpoint",
        "jwks_uri",
    }
    for url in addresses.values():
        assert (await app.http.get(url)).status_code != 404


async def test_signing_out_ends_the_session_and_leads_to_a_registered_address_only(app: App) -> None:
    given = await app.tokens()
    hint = {"id_token_hint": given["id_token"], "state": "s"}
    foreign = await app.http.get("/end-session", params={**hint, "post_logout_redirect_uri": CALLBACK})
    assert foreign.status_code == 400
    assert "location" not in foreign.headers

    back = await app.http.get("/end-session", params={**hint, "post_logout_redirect_uri": SIGN_OUT})

    assert (back.status_code, back.headers["location"]) == (303, SIGN_OUT + "?state=s")
    assert_error(await app.refresh(given["refresh_token"]), "invalid_grant")
    assert (await app.http.get("/end-session")).status_code == 200


async def test_an_address_with_a_query_of_its_own_keeps_it(app: App) -> None:
    answer = await app.log_in(client_id=OTHER, redirect_uri=OTHER_CALLBACK)

    assert answer.headers["location"].startswith(OTHER_CALLBACK + "&code=")


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ({}, "invalid_request", 400),
        ({"client_id": "nobody", "grant_type": "refresh_token"}, "invalid_client", 400),
        ({"client_id": CLIENT, "grant_type": "password"}, "unsupported_grant_type", 400),
        ({"client_id": CLIENT, "grant_type": "authorization_code"}, "invalid_request", 400),
        ({"client_id": [CLIENT, CLIENT], "grant_type": "refresh_token"}, "invalid_request", 400),
        ({"client_id": "x" * 20_000}, "invalid_request", 413),
    ],
)
async def test_wrong_token_requests(app: App, body: dict[str, Any], code: str, status: int) -> None:
    answer = await app.http.post("/token", data=body)

    assert_error(answer, code, status)
    assert answer.headers["cache-control"] == "no-store"
