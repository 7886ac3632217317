"""Tables: plain HTML, numbers at the right, rows that may lead somewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from console.components.text import Text, box

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column. `draw` returns its text, or draws into the cell and returns nothing.

    `classes`: `rm-number` for figures, `rm-wide` for what a phone leaves out, `rm-wrap` for long text.
    """

    title: str
    draw: Callable[[Row], str | object | None]
    classes: str = ""


def table(
    rows: Sequence[Row],
    columns: Sequence[Column[Row]],
    label: str,
    *,
    href: Callable[[Row], str] | None = None,
    testid: str = "row",
) -> None:
    """Draw rows under their headings; it scrolls by itself where it is too wide."""
    with box("div", "rm-scroll").props("tabindex=0 role=region") as region:
        region.props["aria-label"] = label
        with box("table", "rm-table"):
            with box("thead"), box("tr"):
                for column in columns:
                    Text("th", column.title, column.classes).props("scope=col")
            with box("tbody"):
                for row in rows:
                    with box("tr", testid=testid) as line:
                        if href is not None:
                            line.props["data-href"] = href(row)
                        _cells(row, columns)


def _cells(row: Row, columns: Sequence[Column[Row]]) -> None:
    for column in columns:
        with box("td", column.classes):
            drawn = column.draw(row)
            if isinstance(drawn, str):
                Text("span", drawn)
