"""What a new book would change, drawn."""

from __future__ import annotations

from collections.abc import Sequence

from console.calls.prices import Cost, Preview, RateChange, UsagePreview
from console.components.amounts import signed
from console.components.table import Column, table
from console.components.text import Text, box
from console.formats import Locale
from console.pages.signed_in import card_head
from console.session import locale

_SHOWN = 25


def draw_preview(seen: Preview) -> None:
    """Draw the sample, the usage of the last days, and the rates that change."""
    shown = locale()
    with box("section", "rm-card rm-stack"):
        with card_head("Preview", "Under the prices that hold now, and under the new ones."):
            Text("span", seen.version, "rm-mono")
        _costs("The sample run", seen.samples, shown)
        if seen.usage is None:
            with box("div", "rm-note rm-note--warn"):
                Text("span", "History cannot be read right now, so the last days' usage is not priced.")
        else:
            _usage(seen.usage, shown)
        _changes(seen, shown)


def _usage(usage: UsagePreview, shown: Locale) -> None:
    change = usage.after_micro - usage.before_micro
    with box("dl", "rm-tiles rm-tiles--3"):
        for label, text in (
            ("Last 7 days, now", shown.credits(usage.before_micro)),
            ("Last 7 days, new", shown.credits(usage.after_micro)),
            ("Difference", signed(shown.credits(change), change)),
        ):
            with box("div", "rm-card rm-tile"):
                Text("dt", label, "rm-muted")
                Text("dd", text, "rm-tile__value")
    fee = [usage.runs] if usage.runs.before_micro or usage.runs.after_micro else []
    _costs("Usage of the last 7 days", (*usage.models, *usage.tools, *fee), shown)


def _costs(title: str, costs: Sequence[Cost], shown: Locale) -> None:
    def change(one: Cost) -> str:
        return signed(shown.credits(one.after_micro - one.before_micro), one.after_micro - one.before_micro)

    with box("div"):
        Text("h3", title)
        if not costs:
            Text("p", "Nothing was used.", "rm-muted rm-small")
            return
        table(
            costs,
            [
                Column("What", _named),
                Column("Times", lambda one: shown.integer(one.calls), "rm-number rm-wide"),
                Column("Tokens in", lambda one: shown.compact(one.tokens_in), "rm-number rm-wide"),
                Column("Tokens out", lambda one: shown.compact(one.tokens_out), "rm-number rm-wide"),
                Column("Now", lambda one: shown.credits(one.before_micro), "rm-number"),
                Column("New", lambda one: shown.credits(one.after_micro), "rm-number"),
                Column("Difference", change, "rm-number"),
            ],
            title,
            testid="cost",
        )


def _named(one: Cost) -> str:
    name = one.name or "Fee of each run"
    return f"{name} (in no book)" if one.unpriced else name


def _changes(seen: Preview, shown: Locale) -> None:
    def pair(one: RateChange, name: str) -> str:
        before = shown.credits(getattr(one.before, name)) if one.before else "\u2013"
        after = shown.credits(getattr(one.after, name)) if one.after else "\u2013"
        return f"{before} \u2192 {after}"

    with box("div"):
        Text("h3", f"Models whose rates change: {shown.integer(seen.changed_models)}")
        if not seen.changes:
            return
        Text("p", "Credits per million tokens, the most used models first.", "rm-muted rm-small")
        table(
            seen.changes[:_SHOWN],
            [
                Column("Model", lambda one: one.model),
                Column("Input", lambda one: pair(one, "input"), "rm-number"),
                Column("Output", lambda one: pair(one, "output"), "rm-number"),
                Column("Cache read", lambda one: pair(one, "cache_read"), "rm-number rm-wide"),
            ],
            "Rates that change",
            testid="rate-change",
        )
