"""Signing in with an issuer: PKCE, state, nonce, renewal, and what a wrong answer gets."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from fake_issuer import issuer

from console import oidc
from console.api import SignedOut, Unreachable
from console.oidc import OidcClient
from console.pages.sign_in import local
from kit.settings import ConsoleSettings


def _client(url: str) -> OidcClient:
    return OidcClient(ConsoleSettings(oidc_issuer=url, base_url="http://console.test"))


async def _answered(url: str) -> dict[str, str]:
    """Follow a visitor to the issuer and return what it sends back."""
    async with aiohttp.ClientSession() as http, http.get(url, allow_redirects=False) as answer:
        query = parse_qs(urlsplit(answer.headers["Location"]).query)
        return {name: values[0] for name, values in query.items()}


async def test_a_code_is_exchanged_once_and_the_way_back_is_kept() -> None:
    async with issuer("at_1") as at:
        client, storage = _client(at.url), dict[str, Any]()
        sent = await client.begin("browser_1", "/account/wallet")
        assert "code_verifier" not in sent
        assert storage == {}
        back = await _answered(sent)

        assert await client.finish(storage, "browser_1", back["state"], back["code"]) == "/account/wallet"
        assert await client.access_token(storage) == "at_1"
        with pytest.raises(SignedOut, match="too long"):
            await client.finish(storage, "browser_1", back["state"], back["code"])


async def test_an_answer_to_another_sign_in_is_refused() -> None:
    async with issuer("at_1") as at:
        client, storage = _client(at.url), dict[str, Any]()
        back = await _answered(await client.begin("browser_1", "/"))
        with pytest.raises(SignedOut, match="another sign-in"):
            await client.finish(storage, "browser_1", back["state"] + "x", back["code"])
        assert await client.access_token(storage) is None


async def test_an_id_token_of_another_sign_in_is_refused() -> None:
    async with issuer("at_1") as at:
        client, storage = _client(at.url), dict[str, Any]()
        back = await _answered(await client.begin("browser_1", "/"))
        at.codes[back["code"]]["nonce"] = "another"
        with pytest.raises(SignedOut, match="another sign-in"):
            await client.finish(storage, "browser_1", back["state"], back["code"])
        assert await client.access_token(storage) is None


async def test_tokens_are_renewed_before_they_end_and_only_once_at_a_time() -> None:
    async with issuer("at_1") as at:
        client, storage = _client(at.url), dict[str, Any]()
        back = await _answered(await client.begin("browser_1", "/"))
        await client.finish(storage, "browser_1", back["state"], back["code"])
        storage["oidc_tokens"]["ends_at"] = time.time() + 5
        at.access_token = "at_2"

        assert await asyncio.gather(*(client.access_token(storage) for _ in range(5))) == ["at_2"] * 5
        assert at.refreshed == 1
        gc.collect()
        assert not client._renewing

        storage["oidc_tokens"]["ends_at"] = 0
        at.refresh_tokens.clear()
        assert await client.access_token(storage) is None
        assert "oidc_tokens" not in storage


async def test_signing_out_ends_the_issuers_session_too() -> None:
    async with issuer("at_1") as at:
        client, storage = _client(at.url), dict[str, Any]()
        back = await _answered(await client.begin("browser_1", "/"))
        await client.finish(storage, "browser_1", back["state"], back["code"])

        end = await client.sign_out(storage)

        assert end.startswith(f"{at.url}/end?")
        assert "id_token_hint" in end
        assert await client.access_token(storage) is None


async def test_sign_ins_that_are_never_finished_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "_MOST_PENDING", 2)
    async with issuer("at_1") as at:
        client, storage = _client(at.url), dict[str, Any]()
        backs = [await _answered(await client.begin(f"browser_{n}", "/")) for n in range(3)]
        with pytest.raises(SignedOut, match="too long"):
            await client.finish(storage, "browser_0", backs[0]["state"], backs[0]["code"])
        assert await client.finish(storage, "browser_2", backs[2]["state"], backs[2]["code"]) == "/"


async def test_an_issuer_that_is_another_one_is_refused() -> None:
    async with issuer("at_1") as at:
        client = _client(at.url)
        at.url = "http://elsewhere.test"
        with pytest.raises(Unreachable, match="another one"):
            await client.begin("browser_1", "/")


async def test_an_issuer_that_is_away_says_so() -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        await _client("http://127.0.0.1:9").begin("browser_1", "/")


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("/account/wallet?about=run_1", "/account/wallet?about=run_1"),
        ("https://evil.example", "/account/instances"),
        ("//evil.example", "/account/instances"),
        ("/\\evil.example", "/account/instances"),
        ("/sign-in/start", "/account/instances"),
        ("/" + "x" * 3_000, "/account/instances"),
        ("", "/account/instances"),
    ],
)
def test_the_way_back_stays_in_this_console(asked: str, there: str) -> None:
    assert local(asked) == there
