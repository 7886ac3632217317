"""`/account/instances`: My Instances."""

from __future__ import annotations

from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from console.api import ApiError, Refused, SignedOut
from console.calls import account as accounts
from console.calls import instances as calls
from console.calls.instances import Instance
from console.components import states
from console.components.button import Button, link_button
from console.components.instance_card import InstanceCard
from console.components.org_switcher import welcome
from console.components.text import Text, box
from console.page_at import page_at
from console.pages.signed_in import signed_in
from console.services import Services
from console.session import HOME_PATH, SIGN_IN_PATH, locale
from console.visitor import Visitor

_REFRESH_S = 5.0
#: Shown to somebody who belongs to no org.
_NOWHERE = ("",)


def register(services: Services) -> None:
    """Add the page, and the way to it from `/`."""

    @page_at("/")
    def home() -> Response:
        return RedirectResponse(HOME_PATH)

    @page_at(HOME_PATH)
    def instances() -> Response | None:
        return signed_in(
            services, "My Instances", HOME_PATH, lambda visitor: _InstanceList(services, visitor)
        )


class _InstanceList:
    """Search, cards, and the states around them. Figures refresh in place every few seconds."""

    def __init__(self, services: Services, visitor: Visitor) -> None:
        self._services = services
        self._visitor = visitor
        self._locale = locale()
        self._search = ""
        self._pages = 1
        self._cards: dict[str, InstanceCard] = {}
        #: The ids shown; a search that found none is told from another one.
        self._shown: tuple[str, ...] | None = None
        with box("div", "rm-title"):
            with box("div"):
                Text("h1", "My Instances")
                self._count = Text("p", "\u00a0", "rm-muted", testid="count").props("role=status")
            with box("div", "rm-row"):
                ui.input(placeholder="Search by name or id", on_change=self._searched).props(
                    'outlined dense clearable debounce=250 aria-label="Search instances" data-testid=search '
                    "maxlength=100 type=search"
                ).classes("rm-search")
                link_button("New instance", "/account/buy", symbol="add", testid="new-instance")
        self._body = box("div")
        with self._body:
            states.loading("your instances")
        self._more = Button("Show more", self._show_more, look="secondary")
        self._more.classes("rm-more").set_visibility(False)
        ui.timer(0, self.refresh, once=True)
        ui.timer(_REFRESH_S, self.refresh)

    async def _searched(self, event: object) -> None:
        self._search = str(getattr(event, "value", None) or "")
        self._pages = 1
        await self.refresh()

    async def _show_more(self) -> None:
        self._pages += 1
        await self.refresh()

    async def refresh(self) -> None:
        """Read what is shown again and draw what changed."""
        search = self._search
        try:
            found, total = await self._read(search)
        except SignedOut:
            self._services.sessions.forget()
            ui.navigate.to(SIGN_IN_PATH)
        except Refused as error:
            await self._refused(error)
        except ApiError as error:
            self._draw_failure(error)
        else:
            if search == self._search:
                self._draw(found, total)

    async def _read(self, search: str) -> tuple[list[Instance], int]:
        found: list[Instance] = []
        cursor: str | None = None
        for _ in range(self._pages):
            page = await calls.instances(self._visitor, search, cursor)
            found += page.instances
            cursor = page.next_cursor
            if cursor is None:
                break
        self._more.set_visibility(cursor is not None)
        return found, page.total

    def _draw(self, found: list[Instance], total: int) -> None:
        self._count.text = f"{self._locale.integer(total)} instance{'s' if total != 1 else ''}"
        ids = tuple(item.instance_id for item in found) or (f"none: {self._search}",)
        if ids == self._shown:
            for item in found:
                self._cards[item.instance_id].show(item)
            return
        self._shown = ids
        self._body.clear()
        with self._body:
            if found:
                with box("div", "rm-grid"):
                    self._cards = {item.instance_id: InstanceCard(item, self._locale) for item in found}
            elif self._search:
                states.empty(
                    "Nothing found",
                    f"No instance matches “{self._search}”. Try a part of its name or id.",
                    symbol="search_off",
                )
            else:
                states.empty(
                    "No instances yet",
                    "An agent that you purchase appears here, with its usage and settings.",
                    symbol="dns",
                    action="Choose an agent",
                    href="/account/buy",
                )

    async def _refused(self, error: ApiError) -> None:
        """Say why, or let a person without an org begin one."""
        try:
            account = await accounts.account(self._visitor)
        except ApiError as why:
            self._draw_failure(why)
            return
        if self._shown == _NOWHERE:
            return
        self._draw_failure(error, begins=account.role == "none", operates=account.operates)

    def _draw_failure(self, error: ApiError, *, begins: bool = False, operates: bool = False) -> None:
        self._shown = _NOWHERE if begins or operates else None
        self._count.text = "\u00a0"
        self._body.clear()
        with self._body:
            if begins:
                welcome(self._visitor)
            elif operates:
                states.empty(
                    "You run this marketplace",
                    "Instances belong to organisations. Choose one to act for.",
                    symbol="corporate_fare",
                    action="Organisations",
                    href="/operate/orgs",
                )
            elif isinstance(error, Refused):
                states.refused(error.detail)
            else:
                states.failed("Your instances cannot be shown", error.detail, self.refresh)
