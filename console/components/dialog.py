"""Dialogs: a question before what cannot be undone, and small forms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from console.components.button import Button
from console.components.text import Text, box


@contextmanager
def dialog(title: str, hint: str = "", *, wide: bool = False) -> Iterator[ui.dialog]:
    """Make a dialog to draw in; `open()` what is returned. Escape closes it."""
    # On the page itself: what it was opened from may be drawn anew while it is open.
    with ui.context.client.content:
        made = ui.dialog()
    made.on("hide", lambda: None if made.is_deleted else made.delete())
    with made, ui.card().tight().classes(f"rm-dialog{' rm-dialog--wide' if wide else ''}") as card:
        card.props["role"] = "dialog"
        card.props["aria-modal"] = "true"
        card.props["aria-label"] = title
        with box("div"):
            Text("h2", title)
            if hint:
                Text("p", hint, "rm-muted")
        yield made


async def confirmed(title: str, what_happens: str, action: str, *, danger: bool = True) -> bool:
    """Ask; return whether the visitor agreed."""
    with dialog(title, what_happens) as asked, box("div", "rm-dialog__foot"):
        Button("Cancel", lambda: asked.submit(False), look="secondary")
        Button(action, lambda: asked.submit(True), look="danger" if danger else "primary", testid="confirm")
    return bool(await asked)
