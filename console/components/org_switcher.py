"""Which org the visitor acts for, and the way to another of theirs."""

from __future__ import annotations

from nicegui import ui

from console.api import ApiError, Missing, Refused
from console.calls import account as accounts
from console.calls.account import Org
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import text_field
from console.components.icon import icon
from console.components.loaded import attempt
from console.components.text import Text, box
from console.visitor import Visitor


class OrgSwitcher:
    """Draws nothing while the API knows no orgs; then the one chosen, with a menu of the others."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._place = box("div")
        ui.timer(0, self._load, once=True)

    async def _load(self) -> None:
        try:
            orgs = await accounts.orgs(self._visitor)
            if await self._is_lost(orgs):
                self._choose("")
                return
        except ApiError:
            return  # one org only, or the page itself says what is wrong
        if orgs:
            self._draw(orgs)

    async def _is_lost(self, orgs: tuple[Org, ...]) -> bool:
        """Return whether the org chosen is the visitor's no longer: every call that names it is refused."""
        chosen = self._visitor.org_id
        if not chosen or any(org.org_id == chosen for org in orgs):
            return False
        try:
            # Operators act for orgs that they do not belong to.
            await accounts.account(self._visitor)
        except (Refused, Missing):
            return True
        return False

    def _draw(self, orgs: tuple[Org, ...]) -> None:
        meant = self._visitor.org_id
        chosen = next((org for org in orgs if org.org_id == meant), Org(meant) if meant else orgs[0])
        with self._place:
            button = box("button", "rm-org", testid="org").props("type=button aria-haspopup=menu")
            button.props["aria-label"] = f"Organisation: {_named(chosen)}. Change"
            with button:
                Text("span", _named(chosen))
                icon("unfold_more")
                with ui.menu().props("auto-close fit"):
                    for org in orgs:
                        ui.menu_item(_named(org), on_click=lambda org=org: self._choose(org.org_id))
                    ui.separator()
                    ui.menu_item("New organisation…", on_click=self._ask_for_new)

    def _choose(self, org_id: str) -> None:
        self._visitor.choose_org(org_id)
        ui.navigate.to("/account/instances")

    def _ask_for_new(self) -> None:
        with dialog("New organisation", "It has its own wallet, instances and team.") as asked:
            name = text_field("Name", longest=100, placeholder="Acme GmbH")

            async def add() -> None:
                made: list[Org] = []

                async def call() -> None:
                    made.append(await accounts.add_org(self._visitor, str(name.value).strip()))

                if str(name.value or "").strip() and await attempt(call()):
                    self._choose(made[0].org_id)

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Create", add)
        asked.open()


def welcome(visitor: Visitor) -> None:
    """Let somebody who belongs to no org begin one."""
    with box("section", "rm-card rm-sign-in", testid="welcome"):
        with box("div"):
            Text("h2", "Welcome. Begin with your organisation")
            Text(
                "p",
                "It holds your instances, credits and team. If a colleague invited you, sign in with the "
                "address they invited.",
                "rm-muted",
            )
        name = text_field("Name", longest=100, placeholder="Acme GmbH", testid="org-name")

        async def add() -> None:
            made: list[Org] = []

            async def call() -> None:
                made.append(await accounts.add_org(visitor, str(name.value).strip()))

            if str(name.value or "").strip() and await attempt(call()):
                visitor.choose_org(made[0].org_id)
                ui.navigate.to("/account/instances")

        Button("Create organisation", add)


def _named(org: Org) -> str:
    return org.name or org.org_id
