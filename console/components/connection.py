"""Whether the figures are live, in words and colour."""

from __future__ import annotations

from console.components.text import Text, box


def connection_badge() -> None:
    """Draw the badge; the browser keeps its state and age."""
    with box("div", "rm-link", testid="connection").props('data-live-link data-state="connecting"'):
        box("span", "rm-link__dot").props('aria-hidden="true"')
        Text("span", "Connecting", testid="connection-state").props("role=status data-live-state")
        Text("span", "", "rm-muted", testid="freshness").props("data-live-age")
