"""A live chart: declared here, drawn in the browser from the windows it already has.

The server sends changed windows once, not chart options; each chart computes its series from them. Beside the
picture stands the same in words, for screen readers and tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from nicegui import ui

from console.components.text import Text, box
from console.components.tile import Formula, Kind, attribute


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One series: a formula over each window. `color` names a token of the theme."""

    name: str
    formula: Formula
    color: str
    kind: Kind = "integer"
    shape: Literal["bar", "line"] = "bar"
    stack: str = ""
    axis: Literal[0, 1] = 0


class _Declared(msgspec.Struct, frozen=True):
    window: str
    chart: str
    series: tuple[Series, ...]


def blank(shapes: Sequence[str]) -> dict[str, object]:
    """Return options of a chart with so many series and no data, which change nothing of one that is drawn.

    They are applied again some moments after a chart is there. With fewer series than are drawn by then they
    would not be merged but take their place, and leave an empty chart behind.
    """
    return {"xAxis": {}, "yAxis": {}, "series": [{"type": shape} for shape in shapes]}


def live_chart(testid: str, title: str, window: Literal["second5", "minute"], *series: Series) -> None:
    """Draw a chart of the last ten minutes (`second5`) or the last hour (`minute`)."""
    reach = "last 10 minutes" if window == "second5" else "last hour"
    with box("figure", "rm-card rm-chart", testid=f"chart-{testid}") as figure:
        with box("figcaption", "rm-chart__head"):
            Text("h2", title, "rm-card__title")
            Text("span", reach, "rm-muted rm-small")
        drawing = (
            ui.echart(blank([one.shape for one in series]))
            .classes("rm-chart__canvas")
            .props('aria-hidden="true"')
        )
        Text("p", f"{title}, {reach}: no data yet", "rm-hidden", testid=f"summary-{testid}").props(
            "data-live-summary"
        )
    figure.props["data-live-chart"] = attribute(_Declared(window, f"c{drawing.id}", series))
    figure.props["data-live-title"] = f"{title}, {reach}"
