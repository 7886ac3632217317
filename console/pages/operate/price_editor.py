"""The editor of a new price book: terms, what they would change, and the button that publishes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from console.api import ApiError
from console.calls import prices as calls
from console.calls.prices import Book, Prices, Rates
from console.components.amounts import credits_in, micro_of
from console.components.button import Button
from console.components.dialog import confirmed
from console.components.fields import choice, number_field, text_field
from console.components.loaded import attempt, toast
from console.components.moment import moment_field, moment_of
from console.components.text import Text, box
from console.pages.operate.price_preview import draw_preview
from console.pages.signed_in import card_head
from console.visitor import Visitor

_LIST = "list"
_BUCKETS = {
    "input": "Input",
    "cache_read": "Cache read",
    "cache_write": "Cache write",
    "output": "Output",
    "reasoning": "Reasoning",
}
_MOST_ROWS = 100
#: What a rate may be, in credits per million tokens.
_MOST = 100_000


class _Row:
    """One model's own rates, or those above a size of the input. Empty buckets are mistakes."""

    def __init__(self, known: Callable[[str], Rates | None], model: str = "") -> None:
        self._known = known
        with box("div", "rm-rates", testid="rates-row") as self.body:
            self.model = text_field("Model", model, longest=256, on_change=self._filled)
            self.above = number_field("Above", None, most=1e10, hint="Tokens in; empty: all")
            self.fields = {
                name: number_field(label, None, most=_MOST, step=0.01) for name, label in _BUCKETS.items()
            }
            Button("Remove", self._remove, look="ghost", small=True)
        self.gone = False

    def _filled(self, _: object) -> None:
        """Begin with what the model costs so far."""
        rates = self._known(str(self.model.value or "").strip())
        if rates is not None and all(field.value is None for field in self.fields.values()):
            for name, field in self.fields.items():
                field.value = credits_in(getattr(rates, name))

    def _remove(self) -> None:
        self.gone = True
        self.body.delete()

    def rates(self) -> dict[str, int]:
        """Return the rates. Raises `ValueError` for one that is missing."""
        found = {name: micro_of(field.value) for name, field in self.fields.items()}
        if None in found.values():
            raise ValueError(f"Say all five rates of {self.model.value or 'each model'}.")
        return {name: micro for name, micro in found.items() if micro is not None}


class PriceEditor:
    """Draws the editor; `done` is called once something was published, or it was given up."""

    def __init__(self, visitor: Visitor, known: Prices, done: Callable[[], Awaitable[None]]) -> None:
        self._visitor = visitor
        self._done = done
        self._rows: list[_Row] = []
        self._base_book: Book | None = None
        self._shown_terms: dict[str, Any] | None = None
        bases = {_LIST: "List prices of today", **{book.version: book.version for book in known.books}}
        with box("div", "rm-stack"):
            with box("section", "rm-card", testid="price-editor"):
                with card_head("New prices", "What is not named here costs what it costs in the base."):
                    pass
                self._draw_terms(bases, known.in_force or _LIST)
                self._draw_models()
                self._draw_sample()
                with box("div", "rm-card__foot"):
                    Button("Give up", self._done, look="ghost")
                    Button("Preview", self._preview, look="secondary", testid="preview")
                    self._publish_button = Button("Publish", self._publish, testid="publish")
            self._told = box("div", testid="price-preview")
        self._publish_button.allow(False)

    def _draw_terms(self, bases: dict[str, str], base: str) -> None:
        with box("div", "rm-form rm-form--two"):
            self._name = text_field(
                "Name", "prices", longest=64, hint="Begins the version: a-z, 0-9 and dashes", testid="name"
            )
            self._base = choice("Base", bases, base, on_change=self._forget_base)
            self._mark_up = number_field(
                "Mark-up on the base", 0, most=1_000, step=0.1, suffix="%", testid="mark-up"
            )
            self._moment = moment_field("Holds from", hint="Empty: in a few seconds")
            self._per_run = number_field(
                "Per run", None, most=1_000, step=0.01, hint="Credits; empty: the base's", testid="per-run"
            )
            self._per_tool = number_field(
                "Per tool call", None, most=1_000, step=0.01, hint="Credits; empty: the base's"
            )

    def _draw_models(self) -> None:
        with box("div").style("margin-top:20px"):
            Text("h3", "Rates of their own")
            Text("p", "Credits per million tokens, never marked up.", "rm-muted rm-small")
            self._list = box("div", "rm-stack rm-stack--tight").style("margin:10px 0")
            with box("div", "rm-row"):
                Button("Add a model", self._add, look="secondary", small=True, testid="add-model")
                Button("Rates of unknown models", self._add_default, look="secondary", small=True)
        self._default: _Row | None = None

    def _draw_sample(self) -> None:
        with box("div").style("margin-top:20px"):
            Text("h3", "A sample run")
            Text("p", "Priced in the preview beside the usage of the last seven days.", "rm-muted rm-small")
            with box("div", "rm-filters").style("margin-top:10px"):
                self._sample_model = text_field("Sample model", "gpt-4o-mini", longest=256)
                self._sample_in = number_field("Tokens in", 1_000, most=1e10)
                self._sample_out = number_field("Tokens out", 500, most=1e10)
                self._sample_tools = number_field("Tool calls", 1, most=1_000)

    def _forget_base(self, _: object) -> None:
        self._base_book = None

    async def _known_base(self) -> None:
        if self._base_book is None:
            try:
                self._base_book = await calls.book(self._visitor, str(self._base.value or _LIST))
            except ApiError as error:
                toast(error.detail, bad=True)

    def _rates_of(self, model: str) -> Rates | None:
        models = self._base_book.models if self._base_book else ()
        return next((one.rates for one in models if one.model == model), None)

    async def _add(self) -> None:
        await self._known_base()
        if len(self._rows) < _MOST_ROWS:
            with self._list:
                self._rows.append(_Row(self._rates_of))

    async def _add_default(self) -> None:
        await self._known_base()
        if self._default is None or self._default.gone:
            with self._list:
                self._default = _Row(lambda _: None, "Unknown models")
            self._default.model.disable()
            self._default.above.disable()
            if self._base_book is not None:
                for name, field in self._default.fields.items():
                    field.value = credits_in(getattr(self._base_book.default, name))

    def _terms(self) -> dict[str, Any]:
        """Return what was written. Raises `ValueError` with what is missing."""
        models: dict[str, Any] = {}
        tiers: dict[str, list[dict[str, Any]]] = {}
        for row in self._rows:
            model = str(row.model.value or "").strip()
            if row.gone or not model:
                continue
            if row.above.value is None:
                models[model] = row.rates()
            else:
                tiers.setdefault(model, []).append(
                    {"above_input_tokens": int(row.above.value), "rates": row.rates()}
                )
        terms: dict[str, Any] = {
            "name": str(self._name.value or "").strip(),
            "base": str(self._base.value or _LIST),
            "mark_up_permille": round((self._mark_up.value or 0) * 10),
            "models": models,
            "tiers": {
                model: sorted(rows, key=lambda tier: int(tier["above_input_tokens"]))
                for model, rows in tiers.items()
            },
            "per_run_micro": micro_of(self._per_run.value),
            "per_tool_call_micro": micro_of(self._per_tool.value),
        }
        if self._default is not None and not self._default.gone:
            terms["default"] = self._default.rates()
        return terms

    async def _preview(self) -> None:
        sample = {
            "model": str(self._sample_model.value or "").strip() or "unknown",
            "input_uncached": int(self._sample_in.value or 0),
            "output": int(self._sample_out.value or 0),
            "tool_calls": int(self._sample_tools.value or 0),
        }
        try:
            terms = self._terms()
            seen = await calls.preview(self._visitor, terms, [sample])
        except ValueError as error:
            toast(str(error), bad=True)
            return
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        self._shown_terms = terms
        self._told.clear()
        with self._told:
            draw_preview(seen)
        self._publish_button.allow(True)

    async def _publish(self) -> None:
        moment = moment_of(self._moment)
        try:
            if moment is None:
                raise ValueError("That is no date to hold from.")
            # What was previewed is what is published.
            if self._shown_terms is None or self._shown_terms != self._terms():
                raise ValueError("You changed it: preview it again.")
        except ValueError as error:
            toast(str(error), bad=True)
            return
        what = "New runs are priced by it from that moment on. A published book never changes."
        if await confirmed("Publish these prices?", what, "Publish", danger=False) and await attempt(
            calls.publish(self._visitor, self._shown_terms, moment), "Published."
        ):
            await self._done()
