"""Parts by themselves, with a clock in hand: what expires, what is bounded, which settings are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE_S

from kit.settings import (
    ConsoleApiSettings,
    ConsoleSettings,
    EmbeddedSettings,
    GatewaySettings,
    IssuerSettings,
    KnowledgeSettings,
    RunnerSettings,
)
from stack.issuer import clients
from stack.issuer.authorization import AuthorizationRequest
from stack.issuer.bounded import Bounded
from stack.issuer.errors import OAuthError
from stack.issuer.sessions import Sessions
from stack.issuer.signing_keys import SigningKeys
from stack.issuer.throttle import PER_USER, WINDOW_MS, Throttle

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
ASKED = AuthorizationRequest(
    client_id="c", redirect_uri="http://a/cb", scope="openid", code_challenge=CHALLENGE
)


class Hand:
    """A clock that is set."""

    now = 1_000_000

    def __call__(self) -> int:
        return self.now


def redeem(sessions: Sessions, code: str) -> None:
    sessions.redeem(code, client_id="c", redirect_uri="http://a/cb", verifier=VERIFIER)


def test_a_code_lives_for_a_minute() -> None:
    clock = Hand()
    sessions = Sessions(clock)
    early, late = sessions.new_code(ASKED, "dev-ada"), sessions.new_code(ASKED, "dev-ada")

    clock.now += 59_999
    redeem(sessions, early)
    clock.now += 1
    with pytest.raises(OAuthError, match="expired"):
        redeem(sessions, late)


def test_a_full_store_forgets_the_oldest() -> None:
    store: Bounded[int] = Bounded(3, 60_000, Hand())

    for number in range(5):
        store.put(str(number), number)

    assert len(store) == 3
    assert [store.get(str(number)) for number in range(5)] == [None, None, 2, 3, 4]


def test_failures_are_forgiven_after_a_minute() -> None:
    clock = Hand()
    throttle = Throttle(clock)
    for _ in range(PER_USER):
        assert throttle.wait_s("dev-ada") == 0
        throttle.failed("dev-ada")

    assert throttle.wait_s("dev-ada") == WINDOW_MS // 1_000
    clock.now += WINDOW_MS
    assert throttle.wait_s("dev-ada") == 0


def test_rotations_keep_a_few_old_keys(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path)

    made = [keys.rotate() for _ in range(6)]

    assert [key["kid"] for key in keys.public()["keys"]] == made[:1:-1]


@pytest.mark.parametrize(
    "text", ["console", "=http://a/cb", "c=ftp://a", "c=http://a/cb#x", "c=//a", "c=http://a/;script-src *"]
)
def test_clients_that_are_none_are_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(SystemExit, match=r"RUNMETER_ISSUER_CLIENTS: .*client_id=address"):
        clients.parse(text, "RUNMETER_ISSUER_CLIENTS")


def test_a_client_may_have_several_addresses() -> None:
    found = clients.parse("c=http://a/x?y=z, c=https://b:1/, d=http://a/x", "V")

    assert found == {"c": {"http://a/x?y=z", "https://b:1/"}, "d": {"http://a/x"}}


def test_it_serves_loopback_only(tmp_path: Path) -> None:
    env = {**os.environ, "RUNMETER_DATA_DIR": str(tmp_path), "RUNMETER_ISSUER_HOST": "0.0.0.0"}

    refused = subprocess.run(
        [sys.executable, "-m", "stack.issuer"],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert refused.returncode != 0
    assert "RUNMETER_ISSUER_HOST" in refused.stderr


def test_its_default_port_is_nobody_elses() -> None:
    others = [
        EmbeddedSettings(),
        GatewaySettings(),
        RunnerSettings(),
        ConsoleApiSettings(),
        ConsoleSettings(),
    ]
    taken = {
        value
        for settings in (*others, KnowledgeSettings())
        for name, value in settings
        if name == "port" or name.endswith("_port")
    }

    assert IssuerSettings().port not in taken
