"""`/sign-in`: with the issuer where one is set, else an access token for a session."""

from __future__ import annotations

from urllib.parse import quote

from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from console.api import ApiError, Call, SignedOut
from console.components.button import Button, link_button
from console.components.fields import text_field
from console.components.text import Text, box
from console.page_at import page_at
from console.pages.frame import frame
from console.services import Services
from console.session import HOME_PATH, SIGN_IN_PATH

_LONGEST = 2_048


def local(path: str) -> str:
    """Return where to go after signing in: a path of this console, and nothing else."""
    plain = (
        len(path) <= _LONGEST
        and path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and "\n" not in path
    )
    return path if plain and not path.startswith(SIGN_IN_PATH) else HOME_PATH


def register(services: Services) -> None:
    """Add the page, and the two addresses that an issuer needs."""

    @page_at(SIGN_IN_PATH)
    def sign_in(next: str = HOME_PATH) -> Response | None:
        if services.sessions.signed_in():
            return RedirectResponse(local(next))
        with frame(services, "Sign in"):
            if services.sessions.oidc is not None:
                _draw_issuer(local(next))
            else:
                _TokenForm(services, local(next))
        return None

    @page_at(f"{SIGN_IN_PATH}/start")
    async def start(next: str = HOME_PATH) -> Response | None:
        oidc = services.sessions.oidc
        if oidc is None:
            return RedirectResponse(SIGN_IN_PATH)
        try:
            return RedirectResponse(await oidc.begin(services.sessions.browser_id, local(next)))
        except ApiError as error:
            _draw_failure(services, error.detail)
            return None

    @page_at(f"{SIGN_IN_PATH}/callback")
    async def callback(state: str = "", code: str = "", error: str = "") -> Response | None:
        oidc = services.sessions.oidc
        if oidc is None:
            return RedirectResponse(SIGN_IN_PATH)
        try:
            if error or not code:
                raise SignedOut(400, "sign_in_refused", "The sign-in was not completed.")
            there = await oidc.finish(services.sessions.storage, services.sessions.browser_id, state, code)
        except ApiError as failure:
            _draw_failure(services, failure.detail)
            return None
        return RedirectResponse(local(there))


def _draw_issuer(there: str) -> None:
    with box("section", "rm-card rm-sign-in"):
        Text("h1", "Sign in to Runmeter")
        Text("p", "Usage, credits and settings of your organisation's agents.", "rm-muted")
        link_button("Continue", f"{SIGN_IN_PATH}/start?next={quote(there, safe='')}", testid="submit")


def _draw_failure(services: Services, detail: str) -> None:
    with frame(services, "Sign in"), box("section", "rm-card rm-sign-in"):
        Text("h1", "You are not signed in")
        Text("p", detail, "rm-error", testid="sign-in-error").props("role=alert")
        link_button("Start again", SIGN_IN_PATH)


class _TokenForm:
    def __init__(self, services: Services, there: str) -> None:
        self._services = services
        self._there = there
        with box("section", "rm-card rm-sign-in"):
            with box("div"):
                Text("h1", "Sign in to Runmeter")
                Text("p", "With an access token of your organisation.", "rm-muted")
            self._field = text_field("Access token", kind="password", longest=8192, testid="token")
            self._field.props('autocomplete="current-password"').on("keydown.enter", self._submit)
            self._error = Text("p", "", "rm-error", testid="sign-in-error").props("role=alert")
            Button("Sign in", self._submit, testid="submit")

    async def _submit(self) -> None:
        token = (self._field.value or "").strip()
        if not token or not token.isascii():
            self._error.text = "Enter an access token." if not token else "This access token is not valid."
            return
        try:
            await self._services.api.send(Call("GET", "/account"), {"Authorization": f"Bearer {token}"})
        except SignedOut:
            self._error.text = "This access token is not valid."
        except ApiError as error:
            self._error.text = error.detail
        else:
            self._services.sessions.sign_in(token)
            ui.navigate.to(self._there)
