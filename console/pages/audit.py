"""`/account/audit`: what was done in the org, by whom."""

from __future__ import annotations

import asyncio

from fastapi.responses import Response

from console.api import ApiError
from console.calls import instances
from console.calls import team as calls
from console.calls.team import AuditEntry, AuditPage
from console.components import states
from console.components.button import Button
from console.components.loaded import Loaded, toast
from console.components.org_names import OrgNames
from console.components.short_id import short_id
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.page_at import page_at
from console.pages import audit_words as words
from console.pages.audit_words import Detail, Names
from console.pages.signed_in import heading, signed_in
from console.services import Services
from console.session import locale
from console.visitor import Visitor

PATH = "/account/audit"


def register(services: Services) -> None:
    """Add the page."""

    @page_at(PATH)
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
        self._names = Names()
        self._orgs = OrgNames(visitor)
        self._locale = locale()
        self._loaded = Loaded(self._load, self._draw, "audit log", count=6)

    async def _load(self) -> AuditPage:
        if not self._everywhere:
            self._names = await _names(self._visitor)
        page = await calls.audit(self._visitor, None, everywhere=self._everywhere)
        await self._learn(page)
        return page

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
                Column("Who", lambda one: one.actor, "rm-wrap"),
                Column("What", words.action_of, "rm-wrap"),
                Column("About", self._target, "rm-wrap"),
                Column("Details", self._details, "rm-wrap"),
            ]
            if self._everywhere:
                columns.insert(1, Column("Organisation", self._draw_org, "rm-wrap"))
            table(page.entries, columns, "Audit log", testid="audit-entry", stacked=True)
            if page.next_cursor:
                Button("Show more", lambda: self._more(page), look="secondary", small=True).classes("rm-more")

    async def _more(self, page: AuditPage) -> None:
        try:
            older = await calls.audit(self._visitor, page.next_cursor, everywhere=self._everywhere)
            await self._learn(older)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        self._loaded.show(AuditPage((*page.entries, *older.entries), older.next_cursor))

    async def _learn(self, page: AuditPage) -> None:
        if self._everywhere:
            await self._orgs.learn(one.org_id for one in page.entries if one.org_id)

    def _draw_org(self, one: AuditEntry) -> None:
        if one.org_id:
            self._orgs.draw(one.org_id)
        else:
            Text("span", "All")

    def _target(self, one: AuditEntry) -> None:
        with box("div", "rm-details"):
            _draw(words.target_of(one, self._names))

    def _details(self, one: AuditEntry) -> None:
        details = list(words.details_of(one, self._names, self._locale))
        if not details:
            return
        with box("div", "rm-details"):
            for detail in details:
                _draw(detail)


def _draw(detail: Detail) -> None:
    with box("div"):
        Text("span", detail.label, "rm-muted rm-small")
        if detail.shape == "id":
            short_id(detail.value)
        elif detail.shape == "moment":
            when(int(detail.value))
        else:
            Text("span", detail.value)


async def _names(visitor: Visitor) -> Names:
    """Return what the org's instances and members are called; without them ids stand for themselves."""
    known: dict[str, str] = {}
    try:
        page, team = await asyncio.gather(instances.instances(visitor), calls.team(visitor))
    except ApiError:
        return Names()
    known |= {one.instance_id: one.name for one in page.instances}
    known |= {one.user_id: one.name or one.email for one in team.members}
    return Names(known)
