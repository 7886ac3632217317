"""The login page: what it is made of, and whom it refuses."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from issuer_rig import CALLBACK, OTHER_CALLBACK, App, IssuerProcess, hidden, query


@pytest.fixture
async def fresh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """An issuer of its own: what it counts is no other test's."""
    process = IssuerProcess(tmp_path_factory.mktemp("throttled"))
    try:
        await process.ready()
        async with httpx.AsyncClient(base_url=process.url) as http:
            yield App(process, http)
    finally:
        process.close()


async def test_every_field_has_its_label_and_nothing_is_a_script_or_a_style(app: App) -> None:
    page = (await app.authorize()).text

    fields = re.findall(r'<input (?!type="hidden")[^>]*\bid="([^"]+)"', page)
    assert set(fields) == {"dev-ada", "dev-vic", "dev-grace", "dev-olga", "password"}
    assert all(f'for="{name}"' in page for name in fields)
    assert '<html lang="en">' in page
    assert "<legend>" in page
    assert "<h1>" in page
    assert not re.search(r"<script|<style|\son\w+=|\sstyle=|javascript:", page, re.IGNORECASE)


async def test_the_page_is_for_no_frame_no_cache_and_no_script(app: App) -> None:
    answer = await app.authorize()

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:9" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_a_client_sends_is_shown_as_text(app: App) -> None:
    planted = '"><script>alert(1)</script>'

    page = await app.authorize(state=planted, nonce=planted)

    assert "<script" not in page.text
    assert hidden(page.text)["state"] == planted


async def test_a_hint_chooses_the_user(app: App) -> None:
    page = (await app.authorize(login_hint="grace@example.com")).text

    assert re.findall(r'value="(dev-\w+)" required checked', page) == ["dev-grace"]


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/cb", CALLBACK + "/x", CALLBACK + "?a=b", OTHER_CALLBACK, CALLBACK.upper(), ""],
)
async def test_nobody_is_sent_to_an_address_that_is_not_the_clients(app: App, address: str) -> None:
    for prompt in ("login", "none"):
        answer = await app.authorize(redirect_uri=address, prompt=prompt)
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "evil.example" not in answer.text
    form = {**app.asked(), "redirect_uri": address, "user": "dev-ada", "password": app.issuer.password}
    posted = await app.http.post("/login", data=form)
    assert posted.status_code == 400
    assert "location" not in posted.headers


async def test_an_unknown_client_is_told_on_a_page(app: App) -> None:
    answer = await app.authorize(client_id="nobody")

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"response_type": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "email"}, "invalid_scope"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"request": "a.b.c"}, "request_not_supported"),
        ({"request_uri": "https://evil.example"}, "request_uri_not_supported"),
        ({"nonce": "n" * 1_025}, "invalid_request"),
    ],
)
async def test_other_errors_go_back_to_the_client(app: App, changed: dict[str, str], code: str) -> None:
    answer = await app.authorize(**changed)

    assert answer.status_code == 303
    assert answer.headers["location"].startswith(CALLBACK + "?")
    assert (query(answer)["error"], query(answer)["state"]) == (code, "a state & more")
    assert query(answer)["iss"] == app.issuer.url


async def test_forms_of_other_sites_are_refused(app: App) -> None:
    for header in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await app.log_in(headers=header)).status_code == 403
    ours = {"Origin": app.issuer.url, "Sec-Fetch-Site": "same-origin"}
    assert (await app.log_in(headers=ours)).status_code == 303


async def test_a_wrong_password_is_told_so_and_a_user_throttled_alone(fresh: App) -> None:
    for _ in range(5):
        wrong = await fresh.log_in("dev-ada", "not it")
        assert wrong.status_code == 403
        assert 'role="alert"' in wrong.text
        assert "not it" not in wrong.text
        assert 'aria-invalid="true"' in wrong.text

    held = await fresh.log_in("dev-ada")

    assert held.status_code == 429
    assert 0 < int(held.headers["retry-after"]) <= 60
    assert (await fresh.log_in("dev-vic")).status_code == 303


async def test_all_users_together_are_throttled_too(fresh: App) -> None:
    for user in ("dev-ada", "dev-vic", "dev-grace", "nobody"):
        for _ in range(5):
            assert (await fresh.log_in(user, "not it")).status_code == 403

    assert (await fresh.log_in("dev-olga")).status_code == 429


async def test_an_unknown_user_is_refused_like_a_wrong_password(fresh: App) -> None:
    unknown, wrong = await fresh.log_in("nobody"), await fresh.log_in("dev-vic", "not it")

    assert unknown.status_code == wrong.status_code == 403
    assert "That password is not right." in unknown.text
    assert "That password is not right." in wrong.text
