"""What stands where content would: while it loads, when there is none, when it cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from console.components.button import Button, link_button
from console.components.icon import icon
from console.components.text import Text, box

Shape = Literal["cards", "tiles", "lines"]
_SHAPES: dict[Shape, tuple[str, str]] = {
    "cards": ("rm-grid", "rm-skeleton rm-skeleton--card"),
    "tiles": ("rm-tiles", "rm-skeleton rm-skeleton--tile"),
    "lines": ("rm-card", "rm-skeleton rm-skeleton--line"),
}


def loading(what: str, count: int = 3, shape: Shape = "cards") -> None:
    """Draw placeholders; `what` is told to screen readers."""
    around, each = _SHAPES[shape]
    with box("div", around, testid="loading").props('role=status aria-busy="true"'):
        Text("span", f"Loading {what}", "rm-hidden")
        for _ in range(count):
            box("div", each)


def empty(
    title: str,
    hint: str,
    *,
    symbol: str = "inbox",
    action: str = "",
    href: str = "",
    testid: str = "empty",
    heading: str = "h2",
) -> None:
    """Say that there is nothing, and lead to where something comes from. `heading`: h1 if that is all."""
    with box("div", "rm-state", testid=testid):
        _mark(symbol)
        Text(heading, title)
        Text("p", hint)
        if href:
            link_button(action, href)


def failed(title: str, detail: str, retry: Callable[[], Any]) -> None:
    """Say what could not be had, and offer to try again."""
    with box("div", "rm-state rm-state--bad", testid="error").props("role=alert"):
        _mark("cloud_off")
        Text("h2", title)
        Text("p", detail)
        Button("Try again", retry, look="secondary", symbol="refresh")


def refused(detail: str) -> None:
    """Say that the visitor's role does not allow to see this."""
    with box("div", "rm-state", testid="refused"):
        _mark("lock")
        Text("h2", "Your role does not allow this")
        Text("p", f"{detail} An owner of your organisation can change your role under Team.")


def not_offered(what: str) -> None:
    """Say that this server has no such feature, and whom to ask."""
    with box("div", "rm-state", testid="not-offered"):
        _mark("extension_off")
        Text("h2", "Not available on this server")
        Text(
            "p",
            f"The service behind this console does not offer this part: {what}. "
            "Ask whoever runs it to switch it on.",
        )


def _mark(symbol: str) -> None:
    with box("div", "rm-state__mark"):
        icon(symbol)
