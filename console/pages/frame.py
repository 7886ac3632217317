"""The frame around every page: head, header, main. Pages draw inside `with frame(…):`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

from nicegui import ui

from console import theme
from console.components.text import Text, box
from console.services import Services
from console.session import HOME_PATH, SIGN_IN_PATH, THEMES, Theme

STATIC_DIR = Path(__file__).parents[1] / "static"

_DARK: dict[Theme, bool | None] = {"auto": None, "light": False, "dark": True}
_ICONS: dict[Theme, str] = {"auto": "brightness_auto", "light": "light_mode", "dark": "dark_mode"}
_WORDS: dict[Theme, str] = {"auto": "follows the system", "light": "light", "dark": "dark"}


@cache
def static_url() -> str:
    """Return where static files are served; it changes with their content, so browsers may keep them."""
    content = b"".join(path.read_bytes() for path in sorted(STATIC_DIR.iterdir()))
    return f"/assets/{sha256(content).hexdigest()[:12]}"


@contextmanager
def frame(services: Services, title: str) -> Iterator[None]:
    """Draw the frame of a signed-in page (or of the sign-in page, whose header offers only the theme)."""
    ui.page_title(f"{title} · Runmeter")
    ui.add_head_html(f"<style>{theme.stylesheet()}</style>")
    ui.add_head_html(f'<link rel="stylesheet" href="{static_url()}/console.css">')
    dark = ui.dark_mode(_DARK[services.sessions.theme()])
    signed_in = services.sessions.token() is not None
    ui.context.client.content.classes("rm-page")
    with box("a", "rm-skip").props('href="#main"'):
        Text("span", "Skip to content")
    with box("header", "rm-header"), box("div", "rm-header__inner"):
        with box("a", "rm-brand").props(f'href="{HOME_PATH}"'):
            box("span", "rm-brand__mark").props('aria-hidden="true"')
            Text("span", "Runmeter")
        if signed_in:
            with box("nav", "rm-nav").props('aria-label="Main"'), box("a").props(f'href="{HOME_PATH}"'):
                Text("span", "My Instances")
        box("span", "rm-grow")
        _theme_button(services, dark)
        if signed_in and not services.sessions.shared:
            _sign_out_button(services)
    with box("main", "rm-main").props('id="main" tabindex="-1"'):
        yield


def _theme_button(services: Services, dark: ui.dark_mode) -> None:
    button = ui.button(color=None).props("flat round no-caps data-testid=theme").classes("rm-icon-button")

    def draw(chosen: Theme) -> None:
        button.props(f'icon={_ICONS[chosen]} aria-label="Theme: {_WORDS[chosen]}. Change"')

    def change() -> None:
        chosen = THEMES[(THEMES.index(services.sessions.theme()) + 1) % len(THEMES)]
        services.sessions.choose_theme(chosen)
        dark.value = _DARK[chosen]
        draw(chosen)

    button.on_click(change)
    draw(services.sessions.theme())


def _sign_out_button(services: Services) -> None:
    def sign_out() -> None:
        services.sessions.sign_out()
        ui.navigate.to(SIGN_IN_PATH)

    ui.button("Sign out", on_click=sign_out, color=None).props("flat no-caps").classes("rm-text-button")
