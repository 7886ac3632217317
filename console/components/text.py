"""Plain HTML elements that screen readers and search understand: headings, paragraphs, times."""

from __future__ import annotations

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
