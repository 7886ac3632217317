"""A figure with its name. The browser fills it from live values by the formula given here."""

from __future__ import annotations

from typing import Literal

import msgspec

from console.components.text import Text, box

Kind = Literal["integer", "percent", "credits", "duration"]


class Formula(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`scale · (Σ plus less Σ minus) / Σ per` over fields of one source, `per` being 1 when empty.

    `total` and `wallet` are the newest values; `hour` adds up the last sixty minutes.
    """

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    per: tuple[str, ...] = ()
    scale: float = 1
    source: Literal["total", "wallet", "hour"] = "total"


def attribute(value: object) -> str:
    """Return a value as JSON fit for an element's data attribute."""
    return msgspec.json.encode(value).decode()


def tile(testid: str, label: str, kind: Kind, formula: Formula, note: Formula | None = None) -> None:
    """Draw a tile; `note` adds the same figure for the last hour below."""
    with box("div", "rm-card rm-tile"):
        Text("dt", label, "rm-muted")
        value = Text("dd", "–", "rm-tile__value", testid=testid)  # noqa: RUF001 - an en dash: no value yet
        _bind(value, kind, formula)
        if note is not None:
            with box("dd", "rm-muted rm-small"):
                _bind(Text("span", "–"), kind, note)  # noqa: RUF001
                Text("span", " in the last hour")


def _bind(element: Text, kind: Kind, formula: Formula) -> None:
    element.props["data-live-kind"] = kind
    element.props["data-live-value"] = attribute(formula)
