"""The newest runs; the browser fills the rows as they change."""

from __future__ import annotations

from console.components.text import Text, box

#: Column heading and class; numbers stand at the right, `rm-wide` ones are left out on a phone.
_COLUMNS = (
    ("Started", ""),
    ("Status", ""),
    ("Model", ""),
    ("Channel", "rm-wide"),
    ("Tokens in", "rm-number rm-wide"),
    ("Tokens out", "rm-number rm-wide"),
    ("Tools", "rm-number rm-wide"),
    ("Duration", "rm-number rm-wide"),
    ("Credits", "rm-number"),
)


def runs_table() -> None:
    """Draw an empty table with its heading."""
    with box("section", "rm-card").props('aria-labelledby="latest-runs"'):
        Text("h2", "Latest runs", "rm-card__title").props('id="latest-runs"')
        scrolling = box("div", "rm-scroll").props('tabindex=0 role=region aria-labelledby="latest-runs"')
        with scrolling, box("table", "rm-table"):
            with box("thead"), box("tr"):
                for heading, classes in _COLUMNS:
                    Text("th", heading, classes).props("scope=col")
            box("tbody", testid="latest-runs").props("data-live-runs")
        Text("p", "Loading runs…", "rm-muted").props("data-live-runs-note role=status")
