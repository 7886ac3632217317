"""What every page behind the sign-in begins with."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from console.components.text import Text, box
from console.pages.frame import frame
from console.services import Services
from console.session import SIGN_IN_PATH
from console.visitor import Visitor


def to_sign_in() -> Response:
    """Return the way to the sign-in, which leads back here."""
    url = ui.context.client.request.url
    there = url.path + (f"?{url.query}" if url.query else "")
    back = "" if there in ("/", "/account/instances") else f"?next={quote(there, safe='')}"
    return RedirectResponse(f"{SIGN_IN_PATH}{back}")


def signed_in(
    services: Services, title: str, here: str, draw: Callable[[Visitor], object]
) -> Response | None:
    """Draw a page, or send the visitor to the sign-in."""
    if not services.sessions.signed_in():
        return to_sign_in()
    with frame(services, title, here):
        draw(services.sessions.visitor())
    return None


def heading(title: str, hint: str = "") -> ui.element:
    """Draw a page's heading; actions are drawn inside what is returned."""
    with box("div", "rm-title") as line, box("div"):
        Text("h1", title)
        if hint:
            Text("p", hint, "rm-muted")
    return line


def card_head(title: str, hint: str = "") -> ui.element:
    """Draw a card's heading; actions are drawn inside what is returned."""
    with box("div", "rm-card__head") as line, box("div"):
        Text("h2", title)
        if hint:
            Text("p", hint, "rm-muted rm-small")
    return line
