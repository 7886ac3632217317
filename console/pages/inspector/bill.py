"""Why a run costs what it does: what was counted, at which rate, and what that came to."""

from __future__ import annotations

from console.calls.inspection import Bill, BillCorrection, BillItem, Inspection
from console.components.table import Column, table
from console.components.text import Text, box
from console.formats import Locale
from console.pages.signed_in import card_head

_COMPONENTS = {
    "input": "Input",
    "cache_read": "Input read from cache",
    "cache_write": "Input written to cache",
    "output": "Output",
    "reasoning": "Reasoning",
    "rounding": "Rounding up the call",
    "tool_call": "Tool call",
    "run_fee": "Fee of a run",
}
#: What a correction does, by its kind.
KINDS = {"void": "Made free", "amend": "Usage amended", "rerate": "Priced anew"}
_MILLION = 1_000_000

_Line = BillItem | BillCorrection


def draw(found: Inspection, shown: Locale) -> None:
    """Draw the price lines, the corrections after them, and the sum."""
    bill = found.bill
    with box("section", "rm-card", testid="bill"):
        with card_head("Price", f"By the price book {bill.price_version}." if bill.price_version else ""):
            if bill.items:
                _verdict(bill, shown)
        lines: list[_Line] = [*bill.items, *bill.corrections]
        if bill.missing_version:
            _note(f"The price book {bill.missing_version} is not there any more, so no lines can be shown.")
        elif not lines:
            Text("p", "Nothing that costs credits is known of this run.", "rm-muted")
            return
        else:
            steps = {call.call_id: f"Call {call.step}" for call in found.calls}
            steps |= {tool.tool_call_id: f"Tool {tool.step}" for tool in found.tool_calls}
            table(lines, _columns(steps, shown), "Price lines", testid="price-line", stacked=True)
        with box("dl", "rm-sum", testid="bill-total"):
            Text("dt", "Charged")
            Text("dd", f"{shown.exact_credits(bill.charged_micro, 6)} credits")
        if any(item.unpriced for item in bill.items):
            _note("A model had no price of its own; the default was charged.")


def _verdict(bill: Bill, shown: Locale) -> None:
    if bill.exact:
        Text("span", "Adds up exactly", "rm-badge rm-badge--good", testid="adds-up")
        return
    apart = shown.exact_credits(bill.charged_micro - bill.total_micro)
    Text("span", f"{apart} credits not explained yet", "rm-badge rm-badge--warn", testid="adds-up")


def _columns(steps: dict[str, str], shown: Locale) -> list[Column[_Line]]:
    def about(line: _Line) -> str:
        if isinstance(line, BillCorrection):
            return "Correction"
        step = steps.get(line.reference, "")
        return f"{step}, {line.name}" if step else line.name or "Run"

    def what(line: _Line) -> str:
        if isinstance(line, BillCorrection):
            name = KINDS.get(line.kind, line.kind)
            return f"{name}: {line.reason}" if line.reason else name
        tier = line.above_input_tokens
        above = f" (above {shown.integer(tier)} tokens in)" if tier is not None and line.quantity else ""
        return _COMPONENTS.get(line.component, line.component) + above

    def quantity(line: _Line) -> str:
        counted = isinstance(line, BillItem) and line.quantity
        return shown.integer(line.quantity) if counted and isinstance(line, BillItem) else "\u2013"

    return [
        Column("Of", about),
        Column("What", what, "rm-wrap"),
        Column("Quantity", quantity, "rm-number"),
        Column("Rate", lambda line: _rate(line, shown), "rm-number"),
        Column("Credits", lambda line: shown.exact_credits(line.amount_micro, 6), "rm-number"),
    ]


def _rate(line: _Line, shown: Locale) -> str:
    if isinstance(line, BillCorrection) or not line.quantity:
        return "\u2013"
    rate = shown.exact_credits(line.rate_micro)
    return f"{rate} per million" if line.per == _MILLION else f"{rate} each"


def _note(text: str) -> None:
    with box("p", "rm-note rm-note--warn").style("margin-top:14px"):
        Text("span", text)
