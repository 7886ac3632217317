"""`/operate/reconcile`: whether all figures agree, to the micro-credit."""

from __future__ import annotations

from functools import partial

from console.api import ApiError
from console.calls import upkeep as calls
from console.calls.upkeep import Figure, Reconciliation, Report
from console.calls.upkeep import Reconciliations as Found
from console.components import states
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import text_field
from console.components.loaded import Loaded, attempt, toast
from console.components.moment import moment_field, moment_of
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.signed_in import card_head, heading
from console.session import locale
from console.visitor import Visitor

_NAMES = {
    "runs": "Runs",
    "tokens_in": "Tokens in",
    "tokens_out": "Tokens out",
    "tool_calls": "Tool calls",
    "charged": "Credits charged",
    "granted": "Credits granted",
    "expired": "Credits expired",
    "voided": "Credits voided",
    "refunded": "Credits refunded",
    "balance": "Credits left",
}


class Reconciliations:
    """The latest ones, each to be opened; a button starts another."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._locale = locale()
        hint = "Every run is computed again from what was recorded, and compared with every store."
        with heading("Reconciliation", hint):
            Button("Reconcile now", self._ask, symbol="balance", testid="reconcile")
        self._loaded = Loaded(
            lambda: calls.reconciliations(visitor), self._draw, "reconciliations", count=5, every_s=3
        )

    def _draw(self, found: Found) -> None:
        done = next((one for one in found.reconciliations if one.finished_at_ms and not one.error), None)
        with box("div", "rm-stack"):
            if done is not None:
                self._tiles(done)
            with box("section", "rm-card"):
                if not found.reconciliations:
                    states.empty(
                        "Nothing was reconciled yet",
                        "It is done every few hours by itself, and whenever you ask for it.",
                        symbol="balance",
                    )
                    return
                self._table(found)

    def _tiles(self, done: Reconciliation) -> None:
        shown = self._locale
        with box("dl", "rm-tiles rm-tiles--3"):
            for label, value in (
                ("Records accounted for", _percent(done.completeness_ppm, shown.decimal)),
                ("Oldest record not applied", f"{shown.integer(done.behind_ms)} ms"),
                ("Widest gap in credits", shown.credits(done.difference_micro)),
            ):
                with box("div", "rm-card rm-tile"):
                    Text("dt", label, "rm-muted")
                    Text("dd", value, "rm-tile__value")

    def _table(self, found: Found) -> None:
        shown = self._locale
        table(
            found.reconciliations,
            [
                Column("Asked for", lambda one: when(one.requested_at_ms)),
                Column("By", lambda one: one.requested_by, "rm-wide"),
                Column("Of", lambda one: one.org_id or "All organisations", "rm-wide"),
                Column("Verdict", lambda one: StatusBadge(one.verdict)),
                Column("Runs", lambda one: shown.integer(one.runs), "rm-number"),
                Column(
                    "Records", lambda one: _percent(one.completeness_ppm, shown.decimal), "rm-number rm-wide"
                ),
                Column("Differences", lambda one: shown.integer(one.different), "rm-number rm-wide"),
                Column("", self._actions),
            ],
            "Reconciliations",
            testid="reconciliation",
            stacked=True,
        )

    def _actions(self, one: Reconciliation) -> None:
        with box("div", "rm-table__actions"):
            if one.finished_at_ms:
                Button("Open", partial(self._open, one), look="ghost", small=True)

    async def _open(self, one: Reconciliation) -> None:
        try:
            report = await calls.report(self._visitor, one.request_id)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
        with dialog("Reconciliation", _summary(report), wide=True) as shown:
            with box("div", "rm-stack"):
                if report.error:
                    _lines("It could not be done", (report.error,), "bad")
                else:
                    self._figures(report)
                _lines("What differs", report.differences, "bad")
                _lines("What was under way", report.in_flight, "warn")
            with box("div", "rm-dialog__foot"):
                Button("Close", shown.close, look="secondary")
        shown.open()

    def _figures(self, report: Report) -> None:
        def said(figure: Figure, value: int | None) -> str:
            if value is None:
                return "\u2013"
            return self._locale.credits(value) if figure.is_credits else self._locale.integer(value)

        table(
            report.figures,
            [
                Column("", lambda one: _NAMES.get(one.name, one.name)),
                Column("Recomputed", lambda one: said(one, one.recomputed), "rm-number"),
                Column("Redis", lambda one: said(one, one.redis), "rm-number"),
                Column("Ledger", lambda one: said(one, one.ledger), "rm-number"),
                Column("History", lambda one: said(one, one.clickhouse), "rm-number"),
            ],
            "Figures by store",
            testid="figure",
        )

    def _ask(self) -> None:
        with dialog("Reconcile now?", "It reads every store and changes nothing.") as asked:
            org = text_field("Organisation", longest=128, hint="An id; empty: all of them")
            since = moment_field("Runs since", hint="Empty: everything, with wallets and the ledger")

            async def go() -> None:
                at_ms = moment_of(since)
                if at_ms is None:
                    toast("That is no date.", bad=True)
                    return
                work = calls.reconcile(self._visitor, str(org.value or "").strip(), at_ms)
                if await attempt(work, "It is under way."):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Reconcile", go, testid="confirm")
        asked.open()


def _percent(ppm: int, decimal: str) -> str:
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}{decimal}{rest // 100:02d} %"


def _summary(report: Report) -> str:
    took = max(report.finished_at_ms - report.requested_at_ms, 0) / 1000
    return (
        f"{report.orgs} organisations, {report.runs} runs, {report.records_stored} of {report.records} "
        f"records accounted for, after {took:.1f} s."
    )


def _lines(title: str, lines: tuple[str, ...], tone: str) -> None:
    if not lines:
        return
    with box("div"):
        with card_head(title):
            pass
        with box("div", f"rm-note rm-note--{tone}"), box("ul", "rm-stack rm-stack--tight"):
            for line in lines:
                Text("li", line, "rm-mono")
