"""`/account/team`: the org's name, who belongs to it, and asking others to join."""

from __future__ import annotations

import asyncio

from fastapi.responses import Response
from msgspec import Struct

from console.calls import account as accounts
from console.calls import team as calls
from console.calls.account import Account
from console.calls.team import ROLES, Invitation, Member, OrgDetail, Team
from console.components.button import Button
from console.components.dialog import confirmed, dialog
from console.components.fields import choice, text_field
from console.components.loaded import Loaded, attempt
from console.components.status import said
from console.components.table import Column, table
from console.components.text import box, when
from console.page_at import page_at
from console.pages.signed_in import card_head, heading, signed_in
from console.services import Services
from console.visitor import Visitor

PATH = "/account/team"
_ROLE_HINTS = {
    "owner": "Owner – everything, also the team",  # noqa: RUF001
    "admin": "Admin – everything but owners",  # noqa: RUF001
    "member": "Member – works with instances",  # noqa: RUF001
    "viewer": "Viewer – sees, changes nothing",  # noqa: RUF001
}


class _Known(Struct, frozen=True):
    account: Account
    org: OrgDetail
    team: Team


def register(services: Services) -> None:
    """Add the page."""

    @page_at(PATH)
    def team() -> Response | None:
        return signed_in(services, "Team", PATH, _TeamPage)


class _TeamPage:
    """One reading of everything about the org; changes read it again."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        with heading("Team", "Who belongs to your organisation, and what they may do."):
            self._invite = Button("Invite", self._ask, symbol="person_add", testid="invite")
            self._invite.set_visibility(False)
        self._loaded = Loaded(self._load, self._draw, "team", count=5)

    async def _load(self) -> _Known:
        visitor = self._visitor
        return _Known(
            *await asyncio.gather(accounts.account(visitor), calls.org(visitor), calls.team(visitor))
        )

    def _draw(self, known: _Known) -> None:
        self._known = known
        self._invite.set_visibility(known.account.manages)
        with box("div", "rm-stack"):
            self._draw_org(known)
            with box("section", "rm-card", testid="members"):
                with card_head("Members"):
                    pass
                table(
                    known.team.members,
                    [
                        Column("Name", lambda one: one.name or one.email or one.user_id),
                        Column("Email", lambda one: one.email, "rm-wide"),
                        Column("Role", self._role),
                        Column("Since", lambda one: when(one.since_ms, "date"), "rm-wide"),
                        Column("", self._actions),
                    ],
                    "Members",
                    testid="member",
                    stacked=True,
                )
            self._draw_invitations(known)

    def _draw_org(self, known: _Known) -> None:
        with box("section", "rm-card"):
            with card_head("Organisation", known.org.org_id):
                pass
            with box("div", "rm-filters"):
                name = text_field("Name", known.org.name, longest=100, testid="org-name")

                async def rename() -> None:
                    work = calls.rename_org(self._visitor, str(name.value or "").strip())
                    if await attempt(work, "Renamed."):
                        await self._loaded.refresh()

                if known.account.manages:
                    Button("Rename", rename, look="secondary")

    def _draw_invitations(self, known: _Known) -> None:
        if not known.team.invitations:
            return
        with box("section", "rm-card", testid="invitations"):
            with card_head("Invited", "They join when they sign in with this address."):
                pass
            table(
                known.team.invitations,
                [
                    Column("Email", lambda one: one.email),
                    Column("Role", lambda one: said(one.role)),
                    Column("Ends", lambda one: when(one.expires_at_ms, "date"), "rm-wide"),
                    Column("", self._invitation_actions),
                ],
                "Invitations",
                testid="invitation",
                stacked=True,
            )

    def _role(self, one: Member) -> str:
        return said(one.role)

    def _actions(self, one: Member) -> None:
        if not self._known.account.manages or one.user_id == self._known.account.user_id:
            return
        with box("div", "rm-table__actions"):
            Button(
                "Change role",
                lambda: self._ask_role(one),
                look="ghost",
                small=True,
                label=f"Change role of {one.email}",
            )
            Button("Remove", lambda: self._remove(one), look="ghost", small=True, label=f"Remove {one.email}")

    def _ask(self) -> None:
        hint = "They join when they sign in with this address. No mail is sent: tell them."
        with dialog("Invite somebody", hint) as asked:
            email = text_field("Email", kind="email", longest=254, testid="invite-email")
            role = choice("Role", _ROLE_HINTS, "member")

            async def invite() -> None:
                work = calls.invite(self._visitor, str(email.value or "").strip(), str(role.value))
                if await attempt(work, "Invited. No mail is sent: tell them."):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Invite", invite, testid="send-invitation")
        asked.open()

    def _ask_role(self, one: Member) -> None:
        with dialog(f"Role of {one.name or one.email}") as asked:
            role = choice("Role", _ROLE_HINTS, one.role if one.role in ROLES else "member")

            async def change() -> None:
                if await attempt(calls.set_role(self._visitor, one.user_id, str(role.value)), "Changed."):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Change role", change)
        asked.open()

    def _invitation_actions(self, one: Invitation) -> None:
        with box("div", "rm-table__actions"):
            label = f"Take back the invitation of {one.email}"
            Button("Take back", lambda: self._uninvite(one), look="ghost", small=True, label=label)

    async def _uninvite(self, one: Invitation) -> None:
        if await attempt(calls.uninvite(self._visitor, one.invitation_id), "Taken back."):
            await self._loaded.refresh()

    async def _remove(self, one: Member) -> None:
        what = "They lose access at once. What they made stays."
        if not await confirmed(f"Remove {one.name or one.email}?", what, "Remove"):
            return
        if await attempt(calls.remove(self._visitor, one.user_id), "Removed."):
            await self._loaded.refresh()
