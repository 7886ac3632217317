"""A chart of past windows: the server gives the numbers, the browser draws them in the theme of now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from nicegui import ui

from console.components.chart import blank
from console.components.text import Text, box
from console.components.tile import Kind, attribute

Values = Sequence[float | int | None]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One series with a value per window. `color` names a token of the theme."""

    name: str
    values: Values
    color: str
    kind: Kind = "integer"
    shape: Literal["bar", "line"] = "bar"
    stack: str = ""
    axis: Literal[0, 1] = 0


class _Told(msgspec.Struct, frozen=True):
    chart: str
    window: str
    at: Sequence[int]
    series: Sequence[Past]


def history_chart(
    testid: str, title: str, window: str, *, at: Sequence[int], series: Sequence[Past], in_words: str
) -> None:
    """Draw a chart; `in_words` says for screen readers what it shows."""
    with box("figure", "rm-card rm-chart", testid=f"history-{testid}") as figure:
        with box("figcaption", "rm-chart__head"):
            Text("h3", title)
        drawing = (
            ui.echart(blank([one.shape for one in series]))
            .classes("rm-chart__canvas")
            .props('aria-hidden="true"')
        )
        Text("p", f"{title}: {in_words}", "rm-hidden", testid=f"words-{testid}")
    figure.props["data-history"] = attribute(_Told(f"c{drawing.id}", window, at, series))


#: Colours of groups, in their order.
GROUP_COLORS = ("chart-1", "chart-2", "chart-3", "chart-4", "chart-5")
