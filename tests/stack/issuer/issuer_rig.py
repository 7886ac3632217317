"""The issuer as its own process, and a client that signs in like the console."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from containers import free_ports
from waiting import PATIENCE_S, eventually

CLIENT = "runmeter-console"
CALLBACK = "http://127.0.0.1:9/sign-in/callback"
SIGN_OUT = "http://127.0.0.1:9/sign-in"
OTHER, OTHER_CALLBACK = "other-client", "http://127.0.0.1:9/other?kept=1"


class IssuerProcess:
    """`python -m stack.issuer` on a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = free_ports("issuer")["issuer"]
        self.url = f"http://127.0.0.1:{port}"
        self._env = {
            **os.environ,
            "RUNMETER_DATA_DIR": str(folder),
            "RUNMETER_ISSUER_PORT": str(port),
            "RUNMETER_ISSUER_CLIENTS": f"{CLIENT}={CALLBACK}, {OTHER}={OTHER_CALLBACK}",
            "RUNMETER_ISSUER_SIGN_OUT_URIS": f"{CLIENT}={SIGN_OUT}",
        }
        self._log = folder / "issuer.log"
        self._start()

    def _start(self) -> None:
        with self._log.open("ab") as log:
            command = (sys.executable, "-m", "stack.issuer")
            self._process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)

    async def ready(self) -> None:
        """Wait until it answers."""
        async with httpx.AsyncClient() as client:

            async def answers() -> bool:
                assert self._process.poll() is None, self.log()
                try:
                    return (await client.get(self.url + "/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(answers, "the issuer answers")

    async def restart(self) -> None:
        """End it and start it again."""
        self.close()
        self._start()
        await self.ready()

    def rotate_key(self) -> str:
        """Give it a new signing key; return the key's id."""
        command = (sys.executable, "-m", "stack.issuer", "--rotate-key")
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    @property
    def password(self) -> str:
        """What all users sign in with."""
        return (self.folder / "issuer" / "password").read_text().strip()

    def log(self) -> str:
        """Return all it said."""
        return self._log.read_text()

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_S)


class App:
    """A client in its user's browser. `verifier` is its PKCE secret."""

    def __init__(self, issuer: IssuerProcess, http: httpx.AsyncClient) -> None:
        self.issuer, self.http = issuer, http
        self.verifier = secrets.token_urlsafe(40)

    def asked(self, **changed: str) -> dict[str, str]:
        """Return an authorization request; a parameter changed to nothing is left out."""
        challenge = urlsafe_b64encode(sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        usual = {
            "client_id": CLIENT,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "a state & more",
            "nonce": "n-1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**usual, **changed}.items() if value}

    async def authorize(self, **changed: str) -> httpx.Response:
        """Open the login page."""
        return await self.http.get("/authorize", params=self.asked(**changed))

    async def log_in(
        self, user: str = "dev-ada", password: str = "", headers: dict[str, str] | None = None, **changed: str
    ) -> httpx.Response:
        """Send the login page's form."""
        page = await self.authorize(**changed)
        assert page.status_code == 200, page.text
        form = {**hidden(page.text), "user": user, "password": password or self.issuer.password}
        return await self.http.post("/login", data=form, headers=headers)

    async def code(self, user: str = "dev-ada", **changed: str) -> str:
        """Sign in; return the code."""
        answer = await self.log_in(user, **changed)
        assert answer.status_code == 303, answer.text
        return query(answer)["code"]

    async def redeem(self, code: str, **changed: str) -> httpx.Response:
        """Ask for the code's tokens."""
        usual = {
            "grant_type": "authorization_code",
            "client_id": CLIENT,
            "redirect_uri": CALLBACK,
            "code": code,
            "code_verifier": self.verifier,
        }
        return await self.http.post("/token", data={**usual, **changed})

    async def tokens(self, user: str = "dev-ada", **changed: str) -> dict[str, Any]:
        """Sign in; return the tokens."""
        answer = await self.redeem(await self.code(user, **changed))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def refresh(self, token: str, **changed: str) -> httpx.Response:
        """Use a refresh token."""
        usual = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": token}
        return await self.http.post("/token", data={**usual, **changed})


def hidden(page: str) -> dict[str, str]:
    """Return the hidden fields of a page's form."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {name: unescape(value) for name, value in found}


def query(answer: httpx.Response) -> dict[str, str]:
    """Return the parameters of the address that an answer leads to."""
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
