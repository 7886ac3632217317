"""Who is visiting, and what they chose. Tokens never leave the server."""

from __future__ import annotations

import time
from typing import Any, Literal
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from nicegui import app, ui

from console.api import ApiClient
from console.formats import Locale
from console.oidc import OidcClient
from console.visitor import ORG_KEY, TOKEN_KEY, Visitor
from kit import zones

SIGN_IN_PATH = "/sign-in"
HOME_PATH = "/account/instances"

Theme = Literal["auto", "light", "dark"]
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")

_THEME, _TOKENS, _USED = "theme", "oidc_tokens", "used_on_day"
_ZONE_COOKIE = "runmeter_zone"


class Sessions:
    """Access to the current visitor's session. `shared_token` signs everyone in (development)."""

    def __init__(self, api: ApiClient, shared_token: str, oidc: OidcClient | None) -> None:
        self._api = api
        self._shared_token = shared_token
        self.oidc = oidc

    @property
    def shared(self) -> bool:
        """Whether every visitor is signed in as the owner of one configured token."""
        return bool(self._shared_token)

    @property
    def storage(self) -> Any:
        return app.storage.user

    @property
    def browser_id(self) -> str:
        """What the visitor's cookie says, signed by us."""
        return str(app.storage.browser["id"])

    def signed_in(self) -> bool:
        return bool(self._shared_token or self.storage.get(TOKEN_KEY) or self.storage.get(_TOKENS))

    def visitor(self, org_id: str | None = None) -> Visitor:
        """Return the visitor of this request; the object goes on working when the request is over.

        `org_id`: what the page that links here acts for, where that is not the org chosen last.
        """
        self._note_use()
        return Visitor(
            self._api,
            self.storage,
            self.browser_id,
            shared_token=self._shared_token,
            oidc=self.oidc,
            org_id=org_id,
        )

    def _note_use(self) -> None:
        """Keep the session's file as young as its cookie: what is older than that is deleted."""
        today = int(time.time() // 86_400)
        if self.storage and self.storage.get(_USED) != today:
            self.storage[_USED] = today

    def sign_in(self, token: str) -> None:
        self.storage[TOKEN_KEY] = token

    async def sign_out(self) -> str:
        """Forget who is visiting, but not their taste; return where to go."""
        end = await self.oidc.sign_out(self.storage) if self.oidc else ""
        for name in [name for name in self.storage if name != _THEME]:
            self.storage.pop(name, None)
        return end or SIGN_IN_PATH

    def forget(self) -> None:
        """Drop what no longer signs the visitor in."""
        for name in (TOKEN_KEY, _TOKENS, ORG_KEY):
            self.storage.pop(name, None)

    def theme(self) -> Theme:
        chosen = self.storage.get(_THEME, "auto")
        return chosen if chosen in THEMES else "auto"

    def choose_theme(self, theme: Theme) -> None:
        self.storage[_THEME] = theme


def locale() -> Locale:
    """Return the locale of the request that opened this page."""
    request = ui.context.client.request
    return Locale.from_header(request.headers.get("accept-language", ""))


def zone() -> ZoneInfo:
    """Return the browser's time zone, which its pages keep in a cookie; UTC without one that is known."""
    name = unquote(ui.context.client.request.cookies.get(_ZONE_COOKIE, ""))
    return ZoneInfo(name if name in zones.known() else "UTC")
