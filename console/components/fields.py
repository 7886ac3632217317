"""Labelled form fields, with the hint and the mistake where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nicegui import ui

from console.components.text import Text, box

Check = Mapping[str, Callable[[Any], bool]]


@contextmanager
def labelled(label: str, hint: str = "", target: str = "") -> Iterator[None]:
    """Draw a label above what is drawn inside, and a hint below."""
    with box("div", "rm-label"):
        text = Text("label" if target else "span", label, "" if target else "rm-label__text")
        if target:
            text.props["for"] = target
        yield
        if hint:
            Text("span", hint, "rm-label__hint")


def text_field(
    label: str,
    value: str = "",
    *,
    hint: str = "",
    placeholder: str = "",
    longest: int = 200,
    lines: int = 0,
    kind: str = "text",
    check: Check | None = None,
    on_change: Callable[[Any], Any] | None = None,
    testid: str = "",
) -> ui.input | ui.textarea:
    """Draw a field for text; `lines` makes it a tall one."""
    name = _id(label)
    with labelled(label, hint, name):
        make = ui.textarea if lines else ui.input
        field = make(
            value=value,
            placeholder=placeholder,
            validation=dict(check) if check else None,
            on_change=on_change,
        )
        field.props["for"] = name
        field.props["maxlength"] = longest
        field.props("outlined dense hide-bottom-space" if check else "outlined dense").classes("rm-field")
        if lines:
            field.props(f"rows={lines} autogrow")
        else:
            field.props["type"] = kind
        if testid:
            field.props["data-testid"] = testid
    return field


def number_field(
    label: str,
    value: float | None,
    *,
    hint: str = "",
    least: float = 0,
    most: float = 1e9,
    step: float = 1,
    suffix: str = "",
    testid: str = "",
) -> ui.number:
    """Draw a field for a number; empty is `None`."""
    name = _id(label)
    with labelled(label, hint, name):
        field = ui.number(value=value, min=least, max=most, step=step, suffix=suffix or None)
        field.props["for"] = name
        field.props("outlined dense").classes("rm-field")
        if testid:
            field.props["data-testid"] = testid
    return field


def choice(
    label: str,
    options: Mapping[str, str] | Sequence[str],
    value: Any,
    *,
    hint: str = "",
    several: bool = False,
    on_change: Callable[[Any], Any] | None = None,
    testid: str = "",
) -> ui.select:
    """Draw a choice of one, or of several."""
    name = _id(label)
    given = dict(options) if isinstance(options, Mapping) else list(options)
    with labelled(label, hint, name):
        field = ui.select(given, value=value, multiple=several, on_change=on_change)
        field.props["for"] = name
        field.props("outlined dense options-dense").classes("rm-field")
        if several:
            field.props("use-chips")
        if testid:
            field.props["data-testid"] = testid
    return field


def switch(label: str, value: bool, *, hint: str = "", testid: str = "") -> ui.switch:
    """Draw a switch with its label beside it."""
    with box("div", "rm-label"):
        field = ui.switch(label, value=value).props("dense")
        if testid:
            field.props["data-testid"] = testid
        if hint:
            Text("span", hint, "rm-label__hint")
    return field


class Segments:
    """A few choices side by side, as buttons of which one is pressed."""

    def __init__(
        self,
        label: str,
        options: Mapping[str, str],
        value: str,
        on_change: Callable[[str], Any] | None = None,
    ) -> None:
        self.value = value
        self.on_change = on_change
        self._buttons: dict[str, Text] = {}
        with box("div", "rm-segments").props("role=group") as group:
            group.props["aria-label"] = label
            for key, text in options.items():
                button = Text("button", text)
                button.props["type"] = "button"
                button.on("click", lambda _, key=key: self._choose(key), [])
                self._buttons[key] = button
        self._draw()

    def _choose(self, key: str) -> Any:
        if key == self.value:
            return None
        self.value = key
        self._draw()
        return self.on_change(key) if self.on_change is not None else None

    def _draw(self) -> None:
        for key, button in self._buttons.items():
            button.props["aria-pressed"] = "true" if key == self.value else "false"
            button.update()


def _id(label: str) -> str:
    plain = "".join(char if char.isalnum() else "-" for char in label.lower())
    return f"{plain}-{ui.context.client.next_element_id}"
