"""Who is visiting, and what they chose. The access token never leaves the server."""

from __future__ import annotations

from typing import Literal

from nicegui import app, ui

from console.formats import Locale

SIGN_IN_PATH = "/sign-in"
HOME_PATH = "/account/instances"

Theme = Literal["auto", "light", "dark"]
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")

_TOKEN, _THEME = "access_token", "theme"


class Sessions:
    """Access to the current visitor's session. `shared_token` signs everyone in (development)."""

    def __init__(self, shared_token: str) -> None:
        self._shared_token = shared_token

    @property
    def shared(self) -> bool:
        """Whether every visitor is signed in as the owner of one configured token."""
        return bool(self._shared_token)

    def token(self) -> str | None:
        """Return the visitor's access token, `None` when signed out."""
        return self._shared_token or app.storage.user.get(_TOKEN)

    def sign_in(self, token: str) -> None:
        app.storage.user[_TOKEN] = token

    def sign_out(self) -> None:
        app.storage.user.pop(_TOKEN, None)

    def theme(self) -> Theme:
        chosen = app.storage.user.get(_THEME, "auto")
        return chosen if chosen in THEMES else "auto"

    def choose_theme(self, theme: Theme) -> None:
        app.storage.user[_THEME] = theme


def locale() -> Locale:
    """Return the locale of the request that opened this page."""
    request = ui.context.client.request
    return Locale.from_header(request.headers.get("accept-language", ""))
