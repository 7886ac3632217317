"""Plain HTML elements that screen readers and search understand: headings, paragraphs, links, times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement


class Text(TextElement):
    """An element of any tag with text in it; the text is escaped."""

    def __init__(self, tag: str, text: str = "", classes: str = "", *, testid: str = "") -> None:
        super().__init__(tag=tag, text=text)
        if classes:
            self.classes(classes)
        if testid:
            self.props(f"data-testid={testid}")


def box(tag: str, classes: str = "", *, testid: str = "") -> ui.element:
    """Return an element to put others in (`with box("section"): …`)."""
    element = ui.element(tag)
    if classes:
        element.classes(classes)
    if testid:
        element.props(f"data-testid={testid}")
    return element


def link(text: str, href: str, classes: str = "") -> ui.element:
    """Draw a link."""
    element = box("a", classes)
    element.props["href"] = href
    with element:
        Text("span", text)
    return element


def link_around(href: str) -> ui.element:
    """Draw a link; what is drawn inside is what it says."""
    element = box("a")
    element.props["href"] = href
    return element


def when(at_ms: int, style: Literal["date", "moment", "ago"] = "moment", classes: str = "") -> Text:
    """Draw a time; the browser writes it in the visitor's locale and time zone. 0 is a dash."""
    if at_ms <= 0:
        return Text("span", "\u2013", "rm-muted")
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    element = Text("time", f"{at:%Y-%m-%d %H:%M} UTC", classes)
    element.props["datetime"] = at.isoformat()
    element.props["data-ms"] = str(at_ms)
    element.props["data-as"] = style
    return element
