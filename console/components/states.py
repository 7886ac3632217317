"""What stands where content would: while it loads, when there is none, when it cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from console.components.text import Text, box


def loading(what: str, count: int = 3) -> None:
    """Draw placeholders; `what` is told to screen readers."""
    with box("div", "rm-grid", testid="loading").props('role=status aria-busy="true"'):
        Text("span", f"Loading {what}", "rm-hidden")
        for _ in range(count):
            box("div", "rm-card rm-skeleton")


def empty(title: str, hint: str) -> None:
    """Say that there is nothing, and what would change that."""
    with box("div", "rm-state", testid="empty"):
        Text("h2", title)
        Text("p", hint)


def failed(title: str, detail: str, retry: Callable[[], Any]) -> None:
    """Say what could not be had, and offer to try again."""
    with box("div", "rm-state rm-state--bad", testid="error").props("role=alert"):
        Text("h2", title)
        Text("p", detail)
        ui.button("Try again", on_click=retry, color=None).props("no-caps unelevated").classes("rm-button")
