"""The newest runs; the browser fills the rows as they change. And where a run's page is."""

from __future__ import annotations

from urllib.parse import quote

from console.components.text import Text, box, link

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


def run_path(instance_id: str, run_id: str) -> str:
    """Return the address of a run's page."""
    return f"/account/runs/{quote(run_id, safe='')}?instance={quote(instance_id, safe='')}"


def runs_table(all_runs: str) -> None:
    """Draw an empty table with its heading, and the way to `all_runs`."""
    with box("section", "rm-card").props('aria-labelledby="latest-runs"'):
        with box("div", "rm-card__head"):
            Text("h2", "Latest runs").props('id="latest-runs"')
            link("All runs", all_runs, "rm-small")
        scrolling = box("div", "rm-scroll").props('tabindex=0 role=region aria-labelledby="latest-runs"')
        with scrolling, box("table", "rm-table"):
            with box("thead"), box("tr"):
                for heading, classes in _COLUMNS:
                    Text("th", heading, classes).props("scope=col")
            box("tbody", testid="latest-runs").props("data-live-runs")
        Text("p", "Loading runs…", "rm-muted").props("data-live-runs-note role=status")
