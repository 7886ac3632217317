"""`/operate/orgs`: every buyer of the marketplace."""

from __future__ import annotations

from nicegui import ui

from console.calls import operating as calls
from console.calls.operating import OrgRow, OrgRows
from console.components import states
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import text_field
from console.components.loaded import attempt
from console.components.paged import Paged
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.signed_in import heading
from console.session import HOME_PATH
from console.visitor import Visitor


class Orgs:
    """Every buyer, by a search; an operator may stop one and let it go on."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._search = ""
        with heading("Organisations", "Every buyer of this marketplace, the newest first."):
            ui.input(placeholder="Search by name or id", on_change=self._searched).props(
                'outlined dense clearable debounce=250 aria-label="Search organisations" type=search '
                "maxlength=128 data-testid=search"
            ).classes("rm-search")
        self._loaded = Paged(
            lambda cursor: calls.orgs(visitor, self._search, cursor), self._draw, "organisations", count=5
        )

    async def _searched(self, event: object) -> None:
        self._search = str(getattr(event, "value", None) or "")
        await self._loaded.anew()

    def _draw(self, pages: tuple[OrgRows, ...]) -> None:
        found = [org for page in pages for org in page.orgs]
        with box("section", "rm-card"):
            if not found:
                states.empty(
                    "No organisation found" if self._search else "No organisations yet",
                    "The first one appears with its first sign-in.",
                    symbol="corporate_fare",
                )
                return
            table(
                found,
                [
                    Column("Name", lambda one: one.name),
                    Column("Id", lambda one: Text("span", one.org_id, "rm-mono"), "rm-wide"),
                    Column("Status", lambda one: StatusBadge(one.status)),
                    Column("Since", lambda one: when(one.created_at_ms, "date"), "rm-wide"),
                    Column("", self._actions),
                ],
                "Organisations",
                testid="org-row",
                stacked=True,
            )

    def _actions(self, one: OrgRow) -> None:
        text = "Suspend" if one.status == "active" else "Resume"
        with box("div", "rm-table__actions"):
            Button(
                "Act for", lambda: self._act_for(one), look="ghost", small=True, label=f"Act for {one.name}"
            )
            Button(text, lambda: self._ask(one, text), look="ghost", small=True, label=f"{text} {one.name}")

    def _act_for(self, one: OrgRow) -> None:
        self._visitor.choose_org(one.org_id)
        ui.navigate.to(HOME_PATH)

    def _ask(self, one: OrgRow, text: str) -> None:
        stops = one.status == "active"
        hint = "Its agents stop and its people change nothing." if stops else "Its agents run again."
        with dialog(f"{text} {one.name}?", f"{hint} Your reason is kept in the audit log.") as asked:
            reason = text_field("Reason", longest=200)

            async def go() -> None:
                said_why = str(reason.value or "").strip() or text
                work = calls.set_suspended(self._visitor, one.org_id, said_why, suspended=stops)
                if await attempt(work):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button(text, go, look="danger" if stops else "primary")
        asked.open()
