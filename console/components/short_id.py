"""Ids as people can bear them: short, whole when pointed at, and copied with a press."""

from __future__ import annotations

from console.components.icon import icon
from console.components.text import Text, box

_LONGEST, _HEAD, _TAIL = 16, 9, 4


def shortened(identity: str) -> str:
    """Return the beginning and the end of a long id; a short one as it is."""
    if len(identity) <= _LONGEST:
        return identity
    return f"{identity[:_HEAD]}…{identity[-_TAIL:]}"


def short_id(identity: str, classes: str = "") -> None:
    """Draw an id as a button that copies all of it."""
    button = box("button", f"rm-id {classes}".strip())
    button.props["type"] = "button"
    button.props["title"] = identity
    button.props["data-text"] = identity
    with button:
        Text("span", shortened(identity)).props("data-copy-said aria-live=polite")
        icon("content_copy")
        Text("span", "Copy the whole id", "rm-hidden")
