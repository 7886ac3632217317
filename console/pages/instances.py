"""`/account/instances`: My Instances."""

from __future__ import annotations

from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from console.api import ApiError, SignedOut
from console.components import states
from console.components.instance_card import InstanceCard
from console.components.text import Text, box
from console.models import Instance
from console.pages.frame import frame
from console.services import Services
from console.session import HOME_PATH, SIGN_IN_PATH, locale

_REFRESH_S = 5.0


def register(services: Services) -> None:
    """Add the page, and the way to it from `/`."""

    @ui.page("/")
    def home() -> Response:
        return RedirectResponse(HOME_PATH)

    @ui.page(HOME_PATH)
    def instances() -> Response | None:
        token = services.sessions.token()
        if token is None:
            return RedirectResponse(SIGN_IN_PATH)
        with frame(services, "My Instances"):
            _InstanceList(services, token)
        return None


class _InstanceList:
    """Search, cards, and the states around them. Figures refresh in place every few seconds."""

    def __init__(self, services: Services, token: str) -> None:
        self._services = services
        self._token = token
        self._locale = locale()
        self._search = ""
        self._pages = 1
        self._cards: dict[str, InstanceCard] = {}
        self._shown: tuple[str, ...] | None = None
        with box("div", "rm-title"):
            with box("div"):
                Text("h1", "My Instances")
                self._count = Text("p", "", "rm-muted", testid="count").props("role=status")
            ui.input(placeholder="Search by name or id", on_change=self._searched).props(
                'outlined dense clearable debounce=250 aria-label="Search instances" data-testid=search '
                "maxlength=100 type=search"
            ).classes("rm-search")
        self._body = box("div")
        with self._body:
            states.loading("your instances")
        self._more = ui.button("Show more", on_click=self._show_more, color=None).props("no-caps outline")
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
            self._services.sessions.sign_out()
            ui.navigate.to(SIGN_IN_PATH)
        except ApiError as error:
            self._draw_failure(error.detail)
        else:
            if search == self._search:
                self._draw(found, total)

    async def _read(self, search: str) -> tuple[list[Instance], int]:
        found: list[Instance] = []
        cursor: str | None = None
        for _ in range(self._pages):
            page = await self._services.api.instances(self._token, search, cursor)
            found += page.instances
            cursor = page.next_cursor
            if cursor is None:
                break
        self._more.set_visibility(cursor is not None)
        return found, page.total

    def _draw(self, found: list[Instance], total: int) -> None:
        self._count.text = f"{self._locale.integer(total)} instance{'s' if total != 1 else ''}"
        ids = tuple(item.instance_id for item in found)
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
                states.empty("Nothing found", f"No instance matches “{self._search}”.")
            else:
                states.empty("No instances yet", "An agent you purchase appears here as an instance.")

    def _draw_failure(self, detail: str) -> None:
        self._shown = None
        self._count.text = ""
        self._body.clear()
        with self._body:
            states.failed("Your instances cannot be shown", detail, self.refresh)
