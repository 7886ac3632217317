"""`/operate/workers`: how far each worker is behind the log."""

from __future__ import annotations

from console.calls import upkeep as calls
from console.calls.upkeep import Consumers, PartitionLag, RoleLag
from console.components.loaded import Loaded
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.formats import Locale
from console.pages.signed_in import card_head, heading
from console.session import locale
from console.visitor import Visitor

_NAMES = {
    "metering": ("Metering", "Counts and charges. Its positions are the fences in Redis."),
    "warehouse": ("Warehouse", "Stores history. Its positions are the plans in its commits."),
    "ingestion": ("Ingestion", "Reads and indexes knowledge sources."),
    "knowledge": ("Knowledge progress", "Writes down how far sources are."),
    "conversations": ("Conversations", "Keeps what was said, and what was thought of it."),
    "alerts": ("Alerts", "Hears of thresholds that wallets and caps crossed."),
    "operating": ("Operating", "Writes down dead letters and reconciliations."),
    "reconcile": ("Reconciling", "Computes everything again when it is asked for."),
    "billing": ("Billing", "Makes billing records of the ledger. Its positions are fences in Redis."),
}


def workers(visitor: Visitor) -> None:
    """Draw the page; it follows by itself."""
    shown = locale()
    with heading("Workers", "How far each of them is behind the log, and who does which part of it."):
        pass
    Loaded(
        lambda: calls.consumers(visitor),
        lambda seen: _draw(seen, shown),
        "workers",
        count=5,
        every_s=5,
    )


def _draw(seen: Consumers, shown: Locale) -> None:
    with box("div", "rm-stack"):
        with box("dl", "rm-tiles rm-tiles--3"):
            _tile("Records waiting", shown.integer(sum(role.lag for role in seen.roles)), "waiting")
            oldest = [role.waiting_since_ms for role in seen.roles if role.waiting_since_ms]
            with box("div", "rm-card rm-tile"):
                Text("dt", "Oldest waiting record", "rm-muted")
                with box("dd", "rm-tile__value", testid="oldest"):
                    when(min(oldest, default=0), "ago")
            with box("div", "rm-card rm-tile"):
                Text("dt", "Newest run in history", "rm-muted")
                with box("dd", "rm-tile__value", testid="history"):
                    if seen.history_at_ms is None:
                        Text("span", "Away")
                    else:
                        when(seen.history_at_ms, "ago")
        for role in seen.roles:
            _role(role, shown)


def _tile(label: str, value: str, testid: str) -> None:
    with box("div", "rm-card rm-tile"):
        Text("dt", label, "rm-muted")
        Text("dd", value, "rm-tile__value", testid=testid)


def _role(role: RoleLag, shown: Locale) -> None:
    name, hint = _NAMES.get(role.role, (role.role, role.source))
    with box("section", "rm-card", testid="role"):
        with card_head(name, hint), box("div", "rm-row"):
            Text("span", f"{shown.integer(role.lag)} waiting", "rm-muted rm-small")
            StatusBadge(_state(role))
        rows = sorted(
            (row for row in role.partitions if row.end or (role.members and not row.member)),
            key=lambda row: (-(row.lag or 0), row.topic, row.partition),
        )
        if rows:
            table(
                rows,
                [
                    Column("Topic", lambda row: Text("span", row.topic, "rm-mono")),
                    Column("Partition", lambda row: str(row.partition), "rm-number"),
                    Column("Waiting", lambda row: shown.integer(row.lag or 0), "rm-number"),
                    Column("Position", lambda row: _position(row, shown), "rm-number rm-wide"),
                    Column("Log ends at", lambda row: shown.integer(row.end), "rm-number rm-wide"),
                    Column("Last applied", lambda row: when(row.applied_at_ms, "ago")),
                    Column("Waiting since", lambda row: when(row.waiting_since_ms, "ago"), "rm-wide"),
                    Column("Worker", lambda row: Text("span", row.member or "nobody", "rm-mono"), "rm-wide"),
                ],
                name,
                testid="partition",
            )
        if idle := len(role.partitions) - len(rows):
            Text("p", f"{shown.integer(idle)} partitions without records are not shown.", "rm-muted rm-small")


def _position(row: PartitionLag, shown: Locale) -> str:
    return shown.integer(row.position) if row.position is not None else "\u2013"


def _state(role: RoleLag) -> str:
    if not role.members:
        return "nobody"
    if role.unassigned:
        return "unassigned"
    return "catching_up" if role.lag else "up_to_date"
