"""Icons: decoration beside words, never instead of them."""

from __future__ import annotations

from nicegui import ui


def icon(name: str) -> ui.icon:
    """Draw an icon of Material Symbols (outlined), hidden from screen readers."""
    return ui.icon(f"sym_o_{name}").classes("rm-icon").props('aria-hidden="true"')
