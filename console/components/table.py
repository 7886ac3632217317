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

    `classes`: `rm-number` for figures, `rm-wide` for what a phone leaves out (unless the table is stacked),
    `rm-wrap` for long text.
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
    stacked: bool = False,
) -> None:
    """Draw rows under their headings; it scrolls by itself where it is too wide, and shows that it does.

    `stacked`: on a phone each row becomes a block with a line for each column, so that nothing is cut off.
    """
    with box("div", "rm-scroll").props("tabindex=0 role=region") as region:
        region.props["aria-label"] = label
        # The roles say what an element is although a phone lays it out as another.
        with box("table", f"rm-table{' rm-table--stacked' if stacked else ''}").props("role=table"):
            with box("thead").props("role=rowgroup"), box("tr").props("role=row"):
                for column in columns:
                    Text("th", column.title, column.classes).props("scope=col role=columnheader")
            with box("tbody").props("role=rowgroup"):
                for row in rows:
                    with box("tr", testid=testid).props("role=row") as line:
                        if href is not None:
                            line.props["data-href"] = href(row)
                        _cells(row, columns)


def _cells(row: Row, columns: Sequence[Column[Row]]) -> None:
    for column in columns:
        with box("td", column.classes).props("role=cell") as cell:
            cell.props["data-label"] = column.title
            drawn = column.draw(row)
            if isinstance(drawn, str) and drawn:
                Text("span", drawn)
