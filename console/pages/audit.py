"""`/account/audit`: what was done in the org, by whom."""

from __future__ import annotations

from fastapi.responses import Response
from nicegui import ui

from console.api import ApiError
from console.calls import team as calls
from console.calls.team import AuditEntry, AuditPage
from console.components import states
from console.components.button import Button
from console.components.loaded import Loaded, toast
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.signed_in import heading, signed_in
from console.services import Services
from console.visitor import Visitor

PATH = "/account/audit"


def register(services: Services) -> None:
    """Add the page."""

    @ui.page(PATH)
    def audit() -> Response | None:
        return signed_in(services, "Audit log", PATH, _page)


def _page(visitor: Visitor) -> None:
    with heading("Audit log", "Every change that somebody made in your organisation, newest first."):
        pass
    AuditLog(visitor)


class AuditLog:
    """Entries, more of them on request; `everywhere` are those of the whole marketplace."""

    def __init__(self, visitor: Visitor, *, everywhere: bool = False) -> None:
        self._visitor = visitor
        self._everywhere = everywhere
        self._entries: tuple[AuditEntry, ...] = ()
        self._loaded = Loaded(self._load, self._draw, "audit log", count=6)

    async def _load(self) -> AuditPage:
        return await calls.audit(self._visitor, None, everywhere=self._everywhere)

    def _draw(self, page: AuditPage) -> None:
        with box("section", "rm-card"):
            if not page.entries:
                states.empty(
                    "Nothing was changed yet",
                    "Keys, settings, orders and roles leave a line here when somebody changes them.",
                    symbol="history",
                )
                return
            columns: list[Column[AuditEntry]] = [
                Column("When", lambda one: when(one.at_ms)),
                Column("Who", lambda one: one.actor),
                Column("What", lambda one: Text("span", one.action, "rm-mono")),
                Column("About", lambda one: Text("span", one.target_id, "rm-mono"), "rm-wide"),
                Column("Details", _details, "rm-wide rm-wrap"),
            ]
            if self._everywhere:
                columns.insert(1, Column("Org", lambda one: Text("span", one.org_id, "rm-mono"), "rm-wide"))
            table(page.entries, columns, "Audit log", testid="audit-entry")
            if page.next_cursor:
                Button("Show more", lambda: self._more(page), look="secondary", small=True).classes("rm-more")

    async def _more(self, page: AuditPage) -> None:
        try:
            older = await calls.audit(self._visitor, page.next_cursor, everywhere=self._everywhere)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        self._loaded.show(AuditPage((*page.entries, *older.entries), older.next_cursor))


def _details(one: AuditEntry) -> str:
    return ", ".join(
        f"{name}: {value}" for name, value in one.details.items() if value not in (None, "", [], {})
    )[:300]
