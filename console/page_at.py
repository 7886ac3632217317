"""How pages are put at their paths."""

from __future__ import annotations

from nicegui import ui

#: How long a page may take to be built. NiceGUI's own 3 s end in an error page on a machine that is busy.
BUILT_WITHIN_S = 30.0


def page_at(path: str) -> ui.page:
    """Return the decorator of a page's builder."""
    return ui.page(path, response_timeout=BUILT_WITHIN_S)
