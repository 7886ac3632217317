"""The frame around every page: head, navigation, main. Pages draw inside `with frame(…):`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

import msgspec
from nicegui import ui

from console import session_keys, theme
from console.api import ApiError
from console.calls import account as accounts
from console.calls import operating
from console.calls.account import Account
from console.components.button import Button
from console.components.icon import icon
from console.components.loaded import toast
from console.components.org_switcher import OrgSwitcher
from console.components.text import Text, box
from console.services import Services
from console.session import HOME_PATH, THEMES, Theme, locale

STATIC_DIR = Path(__file__).parents[1] / "static"
STYLES = ("console.css", "shell.css", "forms.css")

_DARK: dict[Theme, bool | None] = {"auto": None, "light": False, "dark": True}
_ICONS: dict[Theme, str] = {"auto": "contrast", "light": "light_mode", "dark": "dark_mode"}
_WORDS: dict[Theme, str] = {"auto": "follows the system", "light": "light", "dark": "dark"}

#: Address, name, icon.
Entry = tuple[str, str, str]
_ORG: tuple[Entry, ...] = (
    (HOME_PATH, "My Instances", "dns"),
    ("/account/wallet", "Wallet", "account_balance_wallet"),
    ("/account/orders", "Orders & billing", "receipt_long"),
    ("/account/buy", "Buy", "storefront"),
)
_PEOPLE: tuple[Entry, ...] = (
    ("/account/team", "Team", "group"),
    ("/account/audit", "Audit log", "history"),
)
_OPERATE: tuple[Entry, ...] = (
    ("/operate/orgs", "Organisations", "corporate_fare"),
    ("/operate/orders", "All orders", "list_alt"),
    ("/operate/catalogue", "Catalogue", "inventory_2"),
    ("/operate/prices", "Prices", "sell"),
    ("/operate/grants", "Grants", "redeem"),
    ("/operate/corrections", "Corrections", "published_with_changes"),
    ("/operate/webhooks", "Webhooks", "webhook"),
    ("/operate/letters", "Dead letters", "mark_email_unread"),
    ("/operate/reconcile", "Reconciliation", "balance"),
    ("/operate/workers", "Workers", "speed"),
    ("/operate/audit", "Audit", "policy"),
)


@cache
def static_url() -> str:
    """Return where static files are served; it changes with their content, so browsers may keep them."""
    content = b"".join(path.read_bytes() for path in sorted(STATIC_DIR.iterdir()))
    return f"/assets/{sha256(content).hexdigest()[:12]}"


def head(title: str, **config: object) -> None:
    """Write the head of a page: its title, styles, scripts, and what the scripts are told."""
    ui.page_title(f"{title} · Runmeter")
    told = msgspec.json.encode({"locale": locale().tag, **config}).decode().replace("<", "\\u003c")
    ui.add_head_html(f"<style>{theme.stylesheet()}</style>")
    for name in STYLES:
        ui.add_head_html(f'<link rel="stylesheet" href="{static_url()}/{name}">')
    ui.add_head_html(
        f"<script>window.runmeterConfig={told};</script>"
        f'<script type="module" src="{static_url()}/page.js"></script>'
        f'<script type="module" src="{static_url()}/history.js"></script>'
    )


@contextmanager
def frame(services: Services, title: str, here: str = "", **config: object) -> Iterator[None]:
    """Draw the frame of a page; `here` is the address of the entry it belongs to."""
    head(title, **config)
    dark = ui.dark_mode(_DARK[services.sessions.theme()])
    ui.context.client.content.classes("rm-page")
    with box("a", "rm-skip").props('href="#main"'):
        Text("span", "Skip to content")
    if not services.sessions.signed_in():
        with box("div", "rm-bare-head"):
            _brand()
            _theme_button(services, dark, bare=True)
        with box("main", "rm-main").props('id="main" tabindex="-1"'):
            yield
        return
    with box("div", "rm-shell"):
        with box("aside", "rm-side").props('id="menu" aria-label="Navigation"'):
            _brand()
            _Navigation(services, here, dark)
        with box("div"):
            with box("div", "rm-topbar"):
                menu = box("button", "rm-button rm-button--ghost rm-button--icon")
                menu.props('type=button data-menu aria-label="Menu" aria-controls=menu aria-expanded=false')
                with menu:
                    icon("menu")
                _brand()
            with box("main", "rm-main").props('id="main" tabindex="-1"'):
                yield
        box("button", "rm-shade").props('type=button aria-label="Close the menu" tabindex=-1')


def _brand() -> None:
    with box("a", "rm-brand").props(f'href="{HOME_PATH}"'):
        box("span", "rm-brand__mark").props('aria-hidden="true"')
        Text("span", "Runmeter")


class _Navigation:
    """Entries by what the visitor may do; who they are is asked once per page and drawn when known."""

    def __init__(self, services: Services, here: str, dark: ui.dark_mode) -> None:
        self._services = services
        self._here = here
        self._visitor = services.sessions.visitor()
        OrgSwitcher(self._visitor)
        self._entries("Main", _ORG)
        self._entries("Organisation", _PEOPLE, "Organisation")
        self._operators = box("div")
        with box("div", "rm-side__foot"):
            self._who = Text("p", "\u00a0", "rm-side__who", testid="who")
            _theme_button(services, dark)
            if not services.sessions.shared:
                self._sign_out_button()
        ui.timer(0, self._ask, once=True)

    async def _ask(self) -> None:
        try:
            account = await accounts.account(self._visitor)
        except ApiError:
            return  # the page itself says what is wrong
        self._draw(account)

    def _draw(self, account: Account) -> None:
        self._who.text = account.shown
        self._who.props["title"] = f"{account.subject} · {account.role}"
        if account.operates:
            with self._operators:
                if self._visitor.org_id:
                    self._draw_acting_for()
                self._entries("Marketplace", _OPERATE, "Marketplace")

    def _draw_acting_for(self) -> None:
        """An operator who acts for an org is told so on every page, with the way out."""

        def stop() -> None:
            self._visitor.choose_org("")
            ui.navigate.to("/operate/orgs")

        note = box("div", "rm-note rm-note--warn", testid="acting-for").style("margin-top:14px")
        with note, box("div"):
            Text("p", "You act for", "rm-small")
            called = Text("p", "\u00a0")
            Text("p", self._visitor.org_id, "rm-mono rm-small")
            Button("Stop", stop, look="secondary", small=True)

        async def name() -> None:
            called.text = await operating.org_name(self._visitor, self._visitor.org_id)

        ui.timer(0, name, once=True)

    def _entries(self, label: str, entries: tuple[Entry, ...], title: str = "") -> None:
        if title:
            Text("p", title, "rm-nav__head").props('aria-hidden="true"')
        with box("nav", "rm-nav") as nav:
            nav.props["aria-label"] = label
            for href, name, symbol in entries:
                link = box("a")
                link.props["href"] = href
                if href == self._here:
                    link.props["aria-current"] = "page"
                with link:
                    icon(symbol)
                    Text("span", name)

    def _sign_out_button(self) -> None:
        async def sign_out() -> None:
            await session_keys.revoke(self._visitor)
            try:
                where = await self._services.sessions.sign_out()
            except ApiError as error:
                toast(f"Signed out here. {error.detail}", bad=True)
                where = "/sign-in"
            ui.navigate.to(where)

        button = box("button", "rm-side__button").props("type=button")
        with button:
            icon("logout")
            Text("span", "Sign out")
        button.on("click", sign_out, [])


def _theme_button(services: Services, dark: ui.dark_mode, *, bare: bool = False) -> None:
    button = box("button", "rm-button rm-button--ghost" if bare else "rm-side__button", testid="theme")
    button.props["type"] = "button"

    def draw(chosen: Theme) -> None:
        button.clear()
        button.props["aria-label"] = f"Theme: {_WORDS[chosen]}. Change"
        with button:
            icon(_ICONS[chosen])
            Text("span", f"Theme: {chosen}")
        button.update()

    def change() -> None:
        chosen = THEMES[(THEMES.index(services.sessions.theme()) + 1) % len(THEMES)]
        services.sessions.choose_theme(chosen)
        dark.value = _DARK[chosen]
        draw(chosen)

    button.on("click", change, [])
    draw(services.sessions.theme())
