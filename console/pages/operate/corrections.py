"""`/operate/corrections`: runs that are voided, amended, or priced anew."""

from __future__ import annotations

from typing import Any

from console.api import ApiError
from console.calls import crediting as calls
from console.calls import prices
from console.calls.crediting import Change, Correction
from console.calls.crediting import Corrections as Found
from console.components import states
from console.components.amounts import signed
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import choice, number_field, text_field
from console.components.loaded import attempt, toast
from console.components.paged import Paged
from console.components.status import StatusBadge, said
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.signed_in import heading
from console.session import locale
from console.visitor import Visitor
from kit.clock import new_id

_KINDS = {
    "void": "Void: the run was free",
    "amend": "Amend: a call used something else",
    "rerate": "Rerate: price it by another book",
}
_BUCKETS = {
    "input_uncached": "Input tokens",
    "cache_read": "Read from the cache",
    "cache_write": "Written to the cache",
    "output": "Output tokens",
    "reasoning": "Of it reasoning",
}


class Corrections:
    """What was corrected; a new one is computed first, then sent."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._locale = locale()
        hint = "What was charged stays in the ledger; a correction adds the difference from now on."
        with heading("Corrections", hint):
            Button("Correct a run", self._ask, symbol="add", testid="correct")
        self._loaded = Paged(
            lambda cursor: calls.corrections(visitor, cursor), self._draw, "corrections", count=6, every_s=5
        )

    def _draw(self, pages: tuple[Found, ...]) -> None:
        found = [correction for page in pages for correction in page.corrections]
        with box("section", "rm-card"):
            if not found:
                states.empty(
                    "No run was corrected yet",
                    "A run that should have cost less, or more, is mended here.",
                    symbol="published_with_changes",
                )
                return
            table(
                found,
                [
                    Column("Sent", lambda one: when(one.created_at_ms)),
                    Column("Organisation", lambda one: one.org_name, "rm-wide"),
                    Column("Run", lambda one: Text("span", one.run_id, "rm-mono")),
                    Column("Kind", lambda one: said(one.kind)),
                    Column("Charge", self._amount, "rm-number"),
                    Column("Status", self._status),
                    Column("By", lambda one: one.requested_by, "rm-wide"),
                    Column("Reason", lambda one: one.reason, "rm-wide rm-wrap"),
                ],
                "Corrections",
                testid="correction",
                stacked=True,
            )

    def _amount(self, one: Correction) -> str:
        micro = one.expected_micro if one.applied_micro is None else one.applied_micro
        return signed(self._locale.credits(micro), micro)

    @staticmethod
    def _status(one: Correction) -> StatusBadge:
        return StatusBadge("pending" if one.applied_micro is None else "applied")

    async def _ask(self) -> None:
        try:
            books = [book.version for book in (await prices.prices(self._visitor)).books]
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        _Form(self._visitor, books, self._loaded.refresh).open()


class _Form:
    """One correction: what is asked for, what it would change, and the button that sends it."""

    def __init__(self, visitor: Visitor, books: list[str], after: Any) -> None:
        self._visitor = visitor
        self._books = books
        self._after = after
        # One dialog is one correction, however often its button is pressed.
        self._key = new_id("correct")
        self._computed: dict[str, Any] | None = None
        hint = "It is computed first; nothing is sent before you confirm."
        with dialog("Correct a run", hint) as self._asked:
            with box("div", "rm-form"):
                self._kind = choice("Kind of correction", _KINDS, "void", on_change=self._changed)
                self._run = text_field("Run", longest=128, placeholder="run_…", testid="correct-run")
                self._draw_usage()
                self._draw_book()
                self._reason = text_field("Reason", longest=400, testid="correct-reason")
            self._told = box("div", testid="computed")
            with box("div", "rm-dialog__foot"):
                Button("Cancel", self._asked.close, look="secondary")
                Button("Compute", self._compute, look="secondary", testid="compute")
                self._send_button = Button("Correct", self._send, testid="confirm")
        self._send_button.allow(False)
        self._changed()

    def open(self) -> None:
        self._asked.open()

    def _draw_usage(self) -> None:
        self._usage = box("div", "rm-form rm-form--two")
        with self._usage:
            self._call = text_field("Call", longest=128, hint="Empty: adds one that was not reported")
            self._model = text_field("Model", longest=256, hint="Empty: the call's own")
            self._tokens = {name: number_field(label, 0, most=1e10) for name, label in _BUCKETS.items()}

    def _draw_book(self) -> None:
        self._book_box = box("div")
        with self._book_box:
            self._book = choice("Price book", self._books, self._books[0] if self._books else None)

    def _changed(self, _: object = None) -> None:
        self._usage.set_visibility(self._kind.value == "amend")
        self._book_box.set_visibility(self._kind.value == "rerate")
        self._computed = None
        self._send_button.allow(False)

    def _terms(self) -> dict[str, Any]:
        terms: dict[str, Any] = {
            "kind": self._kind.value,
            "run_id": str(self._run.value or "").strip(),
            "reason": str(self._reason.value or "").strip(),
        }
        if self._kind.value == "amend":
            tokens = {name: int(field.value or 0) for name, field in self._tokens.items()}
            named = {"call_id": str(self._call.value or ""), "model": str(self._model.value or "")}
            terms["usage"] = {**named, **tokens}
        elif self._kind.value == "rerate":
            terms["price_version"] = str(self._book.value or "")
        return terms

    async def _compute(self) -> None:
        terms = self._terms()
        try:
            change = await calls.change(self._visitor, terms)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        self._computed = terms
        self._told.clear()
        with self._told:
            _tell(change)
        self._send_button.allow(True)

    async def _send(self) -> None:
        # What was computed is what is sent.
        if self._computed is None or self._computed != self._terms():
            self._changed()
            toast("You changed it: compute it again.", bad=True)
            return
        if await attempt(calls.correct(self._visitor, self._computed, self._key), "Sent."):
            self._asked.close()
            await self._after()


def _tell(change: Change) -> None:
    shown = locale()
    less = change.change_micro < 0
    with box("div", f"rm-note rm-note--{'good' if less else 'warn'}"), box("div"):
        amount = signed(shown.credits(change.change_micro), change.change_micro)
        Text("p", f"{amount} credits on {shown.credits(change.charged_micro)} charged so far.")
        Text("p", f"{', '.join(change.models) or 'no model calls'}, by {change.price_version}", "rm-small")
