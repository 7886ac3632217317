"""`/sign-in`: an access token for a session."""

from __future__ import annotations

from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from console.api import ApiError, SignedOut
from console.components.text import Text, box
from console.pages.frame import frame
from console.services import Services
from console.session import HOME_PATH, SIGN_IN_PATH


def register(services: Services) -> None:
    """Add the page."""

    @ui.page(SIGN_IN_PATH)
    def sign_in() -> Response | None:
        if services.sessions.token() is not None:
            return RedirectResponse(HOME_PATH)
        with frame(services, "Sign in"):
            _Form(services)
        return None


class _Form:
    def __init__(self, services: Services) -> None:
        self._services = services
        with box("section", "rm-card rm-sign-in"):
            Text("h1", "Sign in")
            Text("p", "Use an access token of your organisation.", "rm-muted")
            self._field = (
                ui.input("Access token", password=True)
                .props('outlined autocomplete="current-password" data-testid=token maxlength=512')
                .classes("rm-field")
                .on("keydown.enter", self._submit)
            )
            self._error = Text("p", "", "rm-error", testid="sign-in-error").props("role=alert")
            self._button = (
                ui.button("Sign in", on_click=self._submit, color=None)
                .props("no-caps unelevated data-testid=submit")
                .classes("rm-button")
            )

    async def _submit(self) -> None:
        token = (self._field.value or "").strip()
        if not token:
            self._error.text = "Enter an access token."
            return
        self._button.disable()
        try:
            await self._services.api.account(token)
        except SignedOut:
            self._error.text = "This access token is not valid."
        except ApiError as error:
            self._error.text = error.detail
        else:
            self._services.sessions.sign_in(token)
            ui.navigate.to(HOME_PATH)
        finally:
            self._button.enable()
