"""`/operate/grants`: credits that are given and taken back."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui

from console.api import ApiError
from console.calls import crediting as calls
from console.calls import operating
from console.calls.crediting import Grant
from console.calls.crediting import Grants as Found
from console.components import states
from console.components.amounts import credits_in, micro_of
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import choice, number_field, text_field
from console.components.loaded import attempt, toast
from console.components.moment import moment_field, moment_of
from console.components.paged import Paged
from console.components.status import StatusBadge, said
from console.components.table import Column, table
from console.components.text import box, when
from console.pages.signed_in import heading
from console.session import locale
from console.visitor import Visitor
from kit.clock import new_id

_KINDS = {"promotion": "Promotion: a gift", "correction": "Correction: makes up for something"}
_EVERY = "All organisations"


class Grants:
    """All grants, or one org's; an operator gives more, voids or takes back."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._locale = locale()
        self._org_id = ""
        self._orgs: dict[str, str] = {}
        hint = "Every credit that was ever given: bought, included in a plan, or given by you."
        with heading("Grants", hint):
            Button("Give credits", self._ask_give, symbol="add", testid="give")
        with box("div", "rm-filters").style("margin-bottom:16px"):
            self._choice = choice("Organisation", {"": _EVERY}, "", on_change=self._choose)
        self._loaded = Paged(
            lambda cursor: calls.grants(visitor, self._org_id, cursor),
            self._draw,
            "grants",
            count=6,
            every_s=10,
        )
        ui.timer(0, self._read_orgs, once=True)

    async def _read_orgs(self) -> None:
        try:
            self._orgs = await operating.org_names(self._visitor)
        except ApiError:
            return  # the list below says what is wrong
        self._choice.set_options({"": _EVERY, **self._orgs}, value=self._org_id)

    async def _choose(self, event: object) -> None:
        self._org_id = str(getattr(event, "value", None) or "")
        await self._loaded.anew()

    def _draw(self, pages: tuple[Found, ...]) -> None:
        found = [grant for page in pages for grant in page.grants]
        with box("section", "rm-card"):
            if not found:
                states.empty("Nothing was granted yet", "Paid orders and you give credits.", symbol="redeem")
                return
            table(
                found,
                [
                    Column("Given", lambda one: when(one.created_at_ms, "date")),
                    Column("Organisation", lambda one: one.org_name),
                    Column("Kind", lambda one: said(one.kind)),
                    Column("Credits", lambda one: self._locale.credits(one.amount_micro), "rm-number"),
                    Column(
                        "Taken back",
                        lambda one: self._locale.credits(one.refunded_micro) if one.refunded_micro else "",
                        "rm-number rm-wide",
                    ),
                    Column("Expires", lambda one: when(one.expires_at_ms, "date"), "rm-wide"),
                    Column("Reason", lambda one: one.reason, "rm-wide rm-wrap"),
                    Column("", self._actions),
                ],
                "Grants",
                testid="grant",
                stacked=True,
            )

    def _actions(self, one: Grant) -> None:
        with box("div", "rm-table__actions"):
            if one.voided_at_ms:
                StatusBadge("voided")
                return
            of = f"{self._locale.credits(one.amount_micro)} credits of {one.org_name}"
            Button(
                "Take back",
                partial(self._ask_refund, one),
                look="ghost",
                small=True,
                label=f"Take back {of}",
            )
            Button("Void", partial(self._ask_void, one), look="ghost", small=True, label=f"Void {of}")

    async def _ask_give(self) -> None:
        # One that signed up since is in it too.
        await self._read_orgs()
        # One dialog is one gift, however often its button is pressed.
        key = new_id("give")
        with dialog("Give credits", "The organisation reads kind and reason in its ledger.") as asked:
            with box("div", "rm-form"):
                org = choice("Organisation to give to", self._orgs, self._org_id or None, testid="give-org")
                kind = choice("Kind", _KINDS, "promotion")
                amount = number_field("Credits", None, most=10_000_000, step=1, testid="give-amount")
                with box("div", "rm-form rm-form--two"):
                    priority = number_field("Priority", 50, most=998, hint="The lowest burns first")
                    expires = moment_field("Expires", hint="Empty: never")
                    effective = moment_field("Effective from", hint="Empty: at once")
                reason = text_field("Reason", longest=400, testid="give-reason")

            async def go() -> None:
                moments = [moment_of(effective), moment_of(expires)]
                if not org.value or not micro_of(amount.value) or None in moments:
                    toast("Choose an organisation, and say how many credits and real dates.", bad=True)
                    return
                terms: dict[str, Any] = {
                    "org_id": org.value,
                    "kind": kind.value,
                    "amount_micro": micro_of(amount.value),
                    "priority": int(priority.value or 0),
                    "effective_at_ms": moments[0],
                    "expires_at_ms": moments[1],
                    "reason": str(reason.value or "").strip(),
                }
                if await attempt(calls.give(self._visitor, terms, key), "Given."):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Give", go, testid="confirm")
        asked.open()

    def _ask_void(self, one: Grant) -> None:
        key = new_id("void")
        hint = "What is left of these credits is taken away. What was spent stays spent."
        with dialog(f"Void {self._locale.credits(one.amount_micro)} credits?", hint) as asked:
            reason = text_field("Reason", longest=400)

            async def go() -> None:
                why = str(reason.value or "").strip()
                if await attempt(calls.void(self._visitor, one.grant_id, why, key), "Voided."):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Void", go, look="danger", testid="confirm")
        asked.open()

    def _ask_refund(self, one: Grant) -> None:
        key = new_id("refund")
        left = one.amount_micro - one.refunded_micro
        hint = "Because their money was returned elsewhere. What was spent of them becomes a debt."
        with dialog("Take credits back?", hint) as asked:
            amount = number_field("Credits", credits_in(left), most=credits_in(left), step=1)
            reason = text_field("Reason", longest=400)

            async def go() -> None:
                micro = micro_of(amount.value) or 0
                why = str(reason.value or "").strip()
                work = calls.refund(self._visitor, one.grant_id, micro, why, key)
                if await attempt(work, "Taken back."):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Take back", go, look="danger", testid="confirm")
        asked.open()
