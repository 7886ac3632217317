"""Where a run is written down: its ledger entries, and its events with their places on Kafka."""

from __future__ import annotations

from urllib.parse import quote

from console.calls.inspection import EntryLine, Inspection, RunRecord
from console.components.short_id import short_id
from console.components.status import said
from console.components.table import Column, table
from console.components.text import Text, box, link, when
from console.formats import Locale
from console.pages.signed_in import card_head

_KINDS = {"run": "Run", "tokens": "Tokens", "tool_call": "Tool call", "correction": "Correction"}


def draw_ledger(found: Inspection, shown: Locale) -> None:
    """Draw what the wallet's ledger says of the run."""
    with box("section", "rm-card", testid="ledger"):
        with card_head("Ledger", "What your organisation's wallet gave for it."):
            link("In the wallet", f"/account/wallet?about={quote(found.run.run_id, safe='')}", "rm-small")
        if not found.ledger:
            Text("p", "No entry has reached the ledger yet.", "rm-muted")
            return
        columns: list[Column[EntryLine]] = [
            Column(
                "Entry", lambda one: f"{said(one.kind)}{f': {one.reason}' if one.reason else ''}", "rm-wrap"
            ),
            Column("Credits", lambda one: shown.exact_credits(one.amount_micro, 6), "rm-number"),
            Column("Happened", lambda one: when(one.occurred_at_ms)),
            Column("Recorded", lambda one: when(one.recorded_at_ms)),
            Column("Topic", lambda one: Text("span", one.topic, "rm-mono")),
            Column("Partition", lambda one: str(one.partition), "rm-number"),
            Column("Offset", lambda one: str(one.offset), "rm-number"),
        ]
        table(found.ledger, columns, "Ledger entries", testid="ledger-entry", stacked=True)


def draw_events(found: Inspection) -> None:
    """Draw every event as it came."""
    with box("section", "rm-card", testid="events"):
        with card_head("Events", "As they stand on Kafka. One that came twice is counted once."):
            pass
        if not found.events:
            Text("p", "No event has reached history yet.", "rm-muted")
            return
        columns: list[Column[RunRecord]] = [
            Column("Event", lambda one: f"{_KINDS.get(one.kind, one.kind)}, {_detail(one)}"),
            Column("About", lambda one: short_id(one.reference)),
            Column("Happened", lambda one: when(one.occurred_at_ms)),
            Column("Recorded", lambda one: when(one.recorded_at_ms)),
            Column("Topic", lambda one: Text("span", one.topic, "rm-mono")),
            Column("Partition", lambda one: str(one.partition), "rm-number"),
            Column("Offset", lambda one: str(one.offset), "rm-number"),
        ]
        table(found.events, columns, "Events", testid="event", stacked=True)
        if found.truncated:
            Text("p", "There are more; the first of them are shown.", "rm-muted rm-small")


def _detail(one: RunRecord) -> str:
    if one.kind != "tokens":
        return "OK" if one.detail == "ok" else one.detail.replace("_", " ")
    return "last count" if one.detail == "final" else f"count {one.detail}"
