"""`/operate/prices`: what holds from when, and the books."""

from __future__ import annotations

from functools import partial

from console.api import ApiError
from console.calls import prices as calls
from console.calls.prices import Book, BookSummary, Entry, ModelPrice
from console.calls.prices import Prices as Known
from console.components import states
from console.components.button import Button
from console.components.dialog import confirmed, dialog
from console.components.loaded import Loaded, attempt, toast
from console.components.moment import moment_field, moment_of
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.operate.price_editor import PriceEditor
from console.pages.signed_in import card_head, heading
from console.session import locale
from console.visitor import Visitor

_SHOWN_MODELS = 400


class Prices:
    """The schedule, the published books, and the editor of a new one."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._locale = locale()
        hint = "A run is priced by the book that holds when it begins. Published books never change."
        with heading("Prices", hint):
            Button("New prices", self._edit, symbol="add", testid="new-prices")
        self._editor = box("div").style("margin-bottom:16px")
        self._editor.set_visibility(False)
        self._loaded = Loaded(lambda: calls.prices(visitor), self._draw, "prices", count=6, every_s=10)

    async def _edit(self) -> None:
        try:
            known = await calls.prices(self._visitor)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        self._editor.clear()
        with self._editor:
            PriceEditor(self._visitor, known, self._done)
        self._editor.set_visibility(True)

    async def _done(self) -> None:
        self._editor.clear()
        self._editor.set_visibility(False)
        await self._loaded.refresh()

    def _draw(self, known: Known) -> None:
        with box("div", "rm-stack"):
            with box("section", "rm-card"):
                with card_head("Schedule", "From when which book prices new runs, the latest first."):
                    pass
                if not known.entries:
                    states.empty("There are no prices yet", "Publish the first book.", symbol="sell")
                else:
                    self._schedule(known)
            if known.books:
                with box("section", "rm-card"):
                    with card_head("Published books", "Rates of a model that is in no book, per 1M tokens."):
                        pass
                    self._books(known)

    def _schedule(self, known: Known) -> None:
        table(
            known.entries,
            [
                Column("From", self._from),
                Column("Book", lambda one: Text("span", one.version, "rm-mono")),
                Column("Status", lambda one: StatusBadge(one.state)),
                Column("", self._entry_actions),
            ],
            "Price schedule",
            testid="price-entry",
            stacked=True,
        )

    @staticmethod
    def _from(one: Entry) -> object:
        return when(one.effective_from_ms) if one.effective_from_ms else "Always"

    def _entry_actions(self, one: Entry) -> None:
        with box("div", "rm-table__actions"):
            if one.state == "to_come":
                Button("Withdraw", partial(self._withdraw, one), look="ghost", small=True)

    async def _withdraw(self, one: Entry) -> None:
        what = "The book stays published; it is not scheduled for that moment any more."
        if await confirmed("Withdraw these prices?", what, "Withdraw") and await attempt(
            calls.withdraw(self._visitor, one.effective_from_ms), "Withdrawn."
        ):
            await self._loaded.refresh()

    def _books(self, known: Known) -> None:
        credits = self._locale.credits
        table(
            known.books,
            [
                Column("Book", lambda one: Text("span", one.version, "rm-mono")),
                Column("Published", lambda one: when(one.created_at_ms, "date"), "rm-wide"),
                Column("Models", lambda one: self._locale.integer(one.models), "rm-number"),
                Column("Unknown in", lambda one: credits(one.default.input), "rm-number rm-wide"),
                Column("Unknown out", lambda one: credits(one.default.output), "rm-number rm-wide"),
                Column("Per run", lambda one: credits(one.per_run_micro), "rm-number rm-wide"),
                Column("Per tool call", lambda one: credits(one.per_tool_call_micro), "rm-number rm-wide"),
                Column("", self._book_actions),
            ],
            "Price books",
            testid="price-book",
            stacked=True,
        )

    def _book_actions(self, one: BookSummary) -> None:
        with box("div", "rm-table__actions"):
            Button(
                "Rates",
                partial(self._open, one.version),
                look="ghost",
                small=True,
                label=f"Rates of {one.version}",
            )
            Button(
                "Schedule",
                partial(self._ask_schedule, one.version),
                look="ghost",
                small=True,
                label=f"Schedule {one.version}",
            )

    def _ask_schedule(self, version: str) -> None:
        hint = "New runs are priced by it from then on, until a later entry."
        with dialog("Schedule this book?", hint) as asked:
            Text("p", version, "rm-mono")
            moment = moment_field("From", hint="Empty: in a few seconds")

            async def go() -> None:
                at_ms = moment_of(moment)
                if at_ms is None:
                    toast("That is no date.", bad=True)
                elif await attempt(calls.schedule(self._visitor, version, at_ms), "Scheduled."):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Schedule", go, testid="confirm")
        asked.open()

    async def _open(self, version: str) -> None:
        try:
            book = await calls.book(self._visitor, version)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        with dialog("Rates", f"{version}: credits per million tokens.", wide=True) as shown:
            self._rates(book)
            with box("div", "rm-dialog__foot"):
                Button("Close", shown.close, look="secondary")
        shown.open()

    def _rates(self, book: Book) -> None:
        credits = self._locale.credits

        def named(one: ModelPrice) -> str:
            return one.model + (f" (+{len(one.tiers)} tiers)" if one.tiers else "")

        table(
            book.models[:_SHOWN_MODELS],
            [
                Column("Model", named),
                Column("Input", lambda one: credits(one.rates.input), "rm-number"),
                Column("Cache read", lambda one: credits(one.rates.cache_read), "rm-number rm-wide"),
                Column("Cache write", lambda one: credits(one.rates.cache_write), "rm-number rm-wide"),
                Column("Output", lambda one: credits(one.rates.output), "rm-number"),
                Column("Reasoning", lambda one: credits(one.rates.reasoning), "rm-number rm-wide"),
            ],
            f"Rates of {book.version}",
            testid="model-rates",
        )
