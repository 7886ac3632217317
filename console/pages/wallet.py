"""`/account/wallet`: what the org has, what it consists of, and every change of it."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote, urlencode

from fastapi.responses import Response

from console.calls import wallet as calls
from console.calls.wallet import KINDS, Bucket, Filter, LedgerPage, Line, Wallet
from console.components import states
from console.components.button import link_button
from console.components.fields import choice, text_field
from console.components.loaded import Loaded
from console.components.paged import Paged
from console.components.status import said
from console.components.table import Column, table
from console.components.text import Text, box, link, when
from console.formats import Locale
from console.page_at import page_at
from console.pages import alerts, topup
from console.pages.signed_in import card_head, heading, signed_in
from console.services import Services
from console.session import locale, zone
from console.visitor import Visitor

PATH = "/account/wallet"
_EVERY_S = 5.0


def register(services: Services) -> None:
    """Add the page."""

    @page_at(PATH)
    def wallet(about: str = "") -> Response | None:
        return signed_in(services, "Wallet", PATH, lambda visitor: _page(visitor, about[:128]))


def _page(visitor: Visitor, about: str) -> None:
    shown = locale()
    with heading("Wallet", "Your organisation's credits: one balance for all its instances."):
        link_button("Add credits", "/account/buy?kind=credits", symbol="add", testid="add-credits")
    with box("div", "rm-stack"):
        Loaded(
            lambda: calls.wallet(visitor),
            lambda found: _draw(found, shown),
            "wallet",
            shape="tiles",
            every_s=_EVERY_S,
        )
        topup.card(visitor)
        alerts.section(visitor)
        _Ledger(visitor, shown, about)


def _draw(found: Wallet, shown: Locale) -> None:
    with box("div", "rm-stack"):
        with box("dl", "rm-tiles"):
            for testid, label, micro, note in (
                ("available", "Available", found.available_micro, "What new runs may spend"),
                ("settled", "Settled", found.settled_micro, "After all that is metered so far"),
                ("held", "Held", found.held_micro, "Reserved for runs in flight"),
                ("charged", "Used so far", found.charged_micro, "All credits ever charged"),
            ):
                with box("div", "rm-card rm-tile"):
                    Text("dt", label, "rm-muted")
                    Text("dd", shown.credits(micro), "rm-tile__value", testid=testid)
                    Text("dd", note, "rm-muted rm-small")
        if found.debt_micro:
            with box("p", "rm-note rm-note--bad"):
                Text(
                    "span",
                    f"You owe {shown.credits(found.debt_micro)} credits. The next you add settle this first.",
                )
        with box("section", "rm-card"):
            with card_head("Where your credits come from", "Spent in this order: what ends first, first."):
                pass
            if not found.buckets:
                states.empty(
                    "No credits",
                    "Credits of a plan or a pack appear here.",
                    symbol="savings",
                    action="Add credits",
                    href="/account/buy?kind=credits",
                    testid="no-buckets",
                )
                return
            table(
                found.buckets,
                [
                    Column("From", lambda bucket: _KIND_NAMES.get(bucket.kind, said(bucket.kind))),
                    Column("Left", lambda bucket: shown.credits(bucket.remaining_micro), "rm-number"),
                    Column("Of", lambda bucket: shown.credits(bucket.granted_micro), "rm-number"),
                    Column("", _meter, "rm-wide"),
                    Column("Valid from", lambda bucket: when(bucket.effective_at_ms, "date"), "rm-wide"),
                    Column(
                        "Ends",
                        lambda bucket: (
                            when(bucket.expires_at_ms, "date") if bucket.expires_at_ms else "Never"
                        ),
                    ),
                    Column(
                        "Rolls over",
                        lambda bucket: (
                            shown.credits(bucket.rolls_over_micro) if bucket.rolls_over_micro else "\u2013"
                        ),
                        "rm-number rm-wide",
                    ),
                ],
                "Buckets of credits",
                testid="bucket",
            )
            if found.more_buckets:
                Text("p", f"And {shown.integer(found.more_buckets)} more.", "rm-muted rm-small")


_KIND_NAMES = {
    "plan": "Plan",
    "purchase": "Purchase",
    "promotion": "Promotion",
    "correction": "Correction",
    "trial": "Trial",
}


def _meter(bucket: Bucket) -> None:
    share = round(100 * bucket.remaining_micro / bucket.granted_micro) if bucket.granted_micro else 0
    with box("div", "rm-meter").style("width:90px") as meter:
        meter.props["aria-hidden"] = "true"
        box("span").style(f"width:{min(100, share)}%")


class _Ledger:
    """Entries, newest first, by a filter; older ones on request."""

    def __init__(self, visitor: Visitor, shown: Locale, about: str) -> None:
        self._visitor = visitor
        self._shown = shown
        self._zone = zone()
        self._filter = Filter(reference_id=about)
        with box("section", "rm-card", testid="ledger"):
            with card_head("Ledger", "Every change of your credits."):
                self._csv = link_button(
                    "CSV", "", look="secondary", symbol="download", small=True, testid="ledger-csv"
                )
            self._draw_filters(about)
            with box("div").style("margin-top:14px"):
                self._loaded = Paged(self._read, self._draw, "entries")
        self._link_csv()

    def _draw_filters(self, about: str) -> None:
        with box("div", "rm-filters"):
            self._start = text_field("From", kind="date", on_change=self._changed, testid="ledger-from")
            self._to = text_field("Before", kind="date", on_change=self._changed)
            self._kind = choice(
                "Kind",
                {"": "All", **{kind: said(kind) for kind in KINDS}},
                "",
                on_change=self._changed,
                testid="ledger-kind",
            )
            self._about = text_field("Run or grant", about, longest=128, on_change=self._changed)
            self._about.props("debounce=400 clearable")

    async def _changed(self, _: object = None) -> None:
        self._filter = Filter(
            start=self._midnight(self._start.value),
            to=self._midnight(self._to.value),
            kinds=(str(self._kind.value),) if self._kind.value else (),
            reference_id=str(self._about.value or "").strip(),
        )
        self._link_csv()
        await self._loaded.anew()

    def _midnight(self, day: object) -> str:
        """Return when a day begins for the visitor, who reads the entries' times in their own zone, too."""
        try:
            begins = datetime.fromisoformat(str(day or "")).replace(tzinfo=self._zone)
        except ValueError:
            return ""  # none, or one that is still being written
        return str(int(begins.timestamp() * 1000))

    def _link_csv(self) -> None:
        asked = urlencode((*self._filter.query(), ("org", self._visitor.org_id)))
        self._csv.props["href"] = f"/download/ledger.csv?{asked}"
        self._csv.update()

    async def _read(self, cursor: str | None) -> LedgerPage:
        return await calls.ledger(self._visitor, self._filter, cursor)

    def _draw(self, pages: tuple[LedgerPage, ...]) -> None:
        lines = [line for page in pages for line in page.entries]
        if not lines:
            Text(
                "p",
                "No entries match. Entries appear some seconds after the wallet changed.",
                "rm-muted",
                testid="no-entries",
            )
            return
        table(
            lines,
            [
                Column("When", lambda line: when(line.occurred_at_ms)),
                Column("Kind", lambda line: said(line.kind)),
                Column("About", _about, "rm-wide"),
                Column("Account", lambda line: line.account, "rm-wide"),
                Column("Credits", self._amount, "rm-number"),
            ],
            "Ledger entries",
            testid="entry",
        )

    def _amount(self, line: Line) -> None:
        plus = line.amount_micro > 0
        Text(
            "span", ("+" if plus else "") + self._shown.credits(line.amount_micro), "rm-plus" if plus else ""
        )


def _about(line: Line) -> None:
    if line.kind in ("usage", "adjustment") and line.reference_id:
        link(line.reference_id, f"/account/runs/{quote(line.reference_id, safe='')}", "rm-mono")
    else:
        Text("span", line.reason or line.reference_id, "rm-mono")
