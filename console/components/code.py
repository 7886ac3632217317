"""Text to be copied: a block of code, a key, an address."""

from __future__ import annotations

from console.components.icon import icon
from console.components.text import Text, box


def code_block(text: str, *, wrap: bool = False, testid: str = "") -> Text:
    """Draw code with a button that copies it; return the element that holds it."""
    with box("div", f"rm-code{' rm-code--wrap' if wrap else ''}"):
        with box("pre").props("tabindex=0"):
            code = Text("code", text, testid=testid)
        copies(code)
    return code


def copies(element: Text, name: str = "Copy") -> None:
    """Draw a button that copies what stands in an element."""
    button = box("button", "rm-button rm-button--secondary rm-button--small rm-copy")
    button.props["type"] = "button"
    button.props["data-copies"] = f"c{element.id}"
    with button:
        icon("content_copy")
        Text("span", name).props("data-copy-said aria-live=polite")
