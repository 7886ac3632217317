"""Buttons: native ones, so that keyboard and screen readers know them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

from nicegui import ui

from console.components.icon import icon
from console.components.text import Text, box

Look = Literal["primary", "secondary", "ghost", "danger"]


class Button(ui.element):
    """A button. While its work goes on it says so and takes no second press."""

    def __init__(
        self,
        text: str,
        on_click: Callable[[], Any] | None = None,
        *,
        look: Look = "primary",
        symbol: str = "",
        small: bool = False,
        testid: str = "",
        label: str = "",
    ) -> None:
        super().__init__("button")
        self._busy = False
        self._work = on_click
        self.classes(f"rm-button rm-button--{look}")
        if small:
            self.classes("rm-button--small")
        self.props["type"] = "button"
        if testid:
            self.props["data-testid"] = testid
        if label:
            self.props["aria-label"] = label
        with self:
            if symbol:
                icon(symbol)
            self._face = Text("span", text)
        if not text:
            self._face.set_visibility(False)
            self.classes("rm-button--icon")
        self.on("click", self._pressed, [])

    def say(self, text: str) -> None:
        """Change what is written on it."""
        self._face.text = text

    def allow(self, allowed: bool) -> None:
        """Let it be pressed, or not."""
        if allowed:
            self.props.pop("disabled", None)
        else:
            self.props["disabled"] = True
        self.update()

    async def _pressed(self) -> None:
        if self._busy or self._work is None or self.props.get("disabled"):
            return
        self._busy = True
        try:
            # On the page itself: the button may be gone before its work is done.
            with self.client.content:
                done = self._work()
                # Not whatever can be awaited: a dialog can be, and would open again.
                if inspect.iscoroutine(done):
                    self._show_busy(True)
                    await done
        finally:
            self._busy = False
            if not self.is_deleted:
                self._show_busy(False)

    def _show_busy(self, busy: bool) -> None:
        self.props["aria-busy"] = "true" if busy else "false"
        self.props["aria-disabled"] = "true" if busy else "false"
        self.update()


def link_button(
    text: str, href: str, *, look: Look = "primary", symbol: str = "", small: bool = False, testid: str = ""
) -> ui.element:
    """Draw a link that looks like a button."""
    link = box("a", f"rm-button rm-button--{look}{' rm-button--small' if small else ''}", testid=testid)
    link.props["href"] = href
    with link:
        if symbol:
            icon(symbol)
        Text("span", text)
    return link
