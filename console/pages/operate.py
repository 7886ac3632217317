"""`/operate/…`: what runs the marketplace. Only what the API offers is here, and only to operators."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi.responses import Response
from msgspec import Struct
from nicegui import ui

from console.calls import operating as calls
from console.calls import shop
from console.calls.operating import Deliveries, Delivery, OrgRow, OrgRows
from console.calls.shop import Plan, Product
from console.components import states
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import Segments, text_field
from console.components.loaded import Loaded, attempt
from console.components.status import StatusBadge, said
from console.components.table import Column, table
from console.components.text import Text, box, when
from console.pages.audit import AuditLog
from console.pages.buy import price_text
from console.pages.orders import draw_orders, with_names
from console.pages.signed_in import heading, signed_in
from console.services import Services
from console.session import HOME_PATH, locale
from console.visitor import Visitor

_STATUSES = {"": "All", "received": "Waiting", "failed": "Failed", "applied": "Applied", "ignored": "Ignored"}


def register(services: Services) -> None:
    """Add the pages."""
    pages: dict[str, tuple[str, Callable[[Visitor], object]]] = {
        "orgs": ("Organisations", _Orgs),
        "orders": ("All orders", _orders),
        "catalogue": ("Catalogue", _catalogue),
        "webhooks": ("Webhooks", _Webhooks),
        "audit": ("Audit", _audit),
    }

    @ui.page("/operate/{page}")
    def operate(page: str) -> Response | None:
        title, draw = pages.get(page, ("Not found", _nothing))
        return signed_in(services, title, f"/operate/{page}", draw)


def _nothing(_: Visitor) -> None:
    states.empty("Page not found", "There is nothing at this address.", action="Home", href="/")


class _Orgs:
    """Every buyer, by a search; an operator may stop one and let it go on."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._search = ""
        with heading("Organisations", "Every buyer of this marketplace, the newest first."):
            ui.input(placeholder="Search by name or id", on_change=self._searched).props(
                'outlined dense clearable debounce=250 aria-label="Search organisations" type=search '
                "maxlength=128 data-testid=search"
            ).classes("rm-search")
        self._loaded = Loaded(self._load, self._draw, "organisations", count=5)

    async def _load(self) -> OrgRows:
        return await calls.orgs(self._visitor, self._search)

    async def _searched(self, event: object) -> None:
        self._search = str(getattr(event, "value", None) or "")
        await self._loaded.refresh()

    def _draw(self, found: OrgRows) -> None:
        with box("section", "rm-card"):
            if not found.orgs:
                states.empty(
                    "No organisation found" if self._search else "No organisations yet",
                    "The first one appears with its first sign-in.",
                    symbol="corporate_fare",
                )
                return
            table(
                found.orgs,
                [
                    Column("Name", lambda one: one.name),
                    Column("Id", lambda one: Text("span", one.org_id, "rm-mono"), "rm-wide"),
                    Column("Status", lambda one: StatusBadge(one.status)),
                    Column("Since", lambda one: when(one.created_at_ms, "date"), "rm-wide"),
                    Column("", self._actions),
                ],
                "Organisations",
                testid="org-row",
            )

    def _actions(self, one: OrgRow) -> None:
        text = "Suspend" if one.status == "active" else "Resume"
        with box("div", "rm-table__actions"):
            Button(
                "Act for", lambda: self._act_for(one), look="ghost", small=True, label=f"Act for {one.name}"
            )
            Button(text, lambda: self._ask(one, text), look="ghost", small=True, label=f"{text} {one.name}")

    def _act_for(self, one: OrgRow) -> None:
        self._visitor.choose_org(one.org_id)
        ui.navigate.to(HOME_PATH)

    def _ask(self, one: OrgRow, text: str) -> None:
        stops = one.status == "active"
        hint = "Its agents stop and its people change nothing." if stops else "Its agents run again."
        with dialog(f"{text} {one.name}?", f"{hint} Your reason is kept in the audit log.") as asked:
            reason = text_field("Reason", longest=200)

            async def go() -> None:
                said_why = str(reason.value or "").strip() or text
                work = calls.set_suspended(self._visitor, one.org_id, said_why, suspended=stops)
                if await attempt(work):
                    asked.close()
                    await self._loaded.refresh()

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button(text, go, look="danger" if stops else "primary")
        asked.open()


def _orders(visitor: Visitor) -> None:
    shown = locale()
    with heading("All orders", "Open one to mark it as paid, provision it again, or refund it."):
        pass
    Loaded(
        lambda: with_names(visitor, shop.orders(visitor)),
        lambda found: draw_orders(found[0], found[1], shown),
        "orders",
        count=5,
        every_s=10,
    )


class _Shelf(Struct, frozen=True):
    products: tuple[Product, ...]
    plans: tuple[Plan, ...]


def _catalogue(visitor: Visitor) -> None:
    shown = locale()
    with heading("Catalogue", "Products and plans, active or not. They are written through the API."):
        pass

    async def load() -> _Shelf:
        products, plans = await asyncio.gather(shop.products(visitor), shop.plans(visitor))
        return _Shelf(products, plans)

    def draw(shelf: _Shelf) -> None:
        names = {product.code: product.name for product in shelf.products}
        with box("section", "rm-card"):
            if not shelf.plans:
                states.empty(
                    "The catalogue is empty",
                    "Put a product and a plan through the API.",
                    symbol="inventory_2",
                )
                return
            table(
                shelf.plans,
                [
                    Column("Plan", lambda one: one.name),
                    Column("Code", lambda one: Text("span", one.code, "rm-mono")),
                    Column("Product", lambda one: names.get(one.product, one.product), "rm-wide"),
                    Column("Status", lambda one: StatusBadge(one.status)),
                    Column(
                        "Prices",
                        lambda one: "; ".join(price_text(price, shown) for price in one.prices),
                        "rm-wrap",
                    ),
                    Column(
                        "Credits",
                        lambda one: shown.whole_credits(
                            one.credits_once_micro + (one.allowance.amount_micro if one.allowance else 0)
                        ),
                        "rm-number",
                    ),
                ],
                "Plans",
                testid="plan-row",
            )

    Loaded(load, draw, "catalogue", count=5)


class _Webhooks:
    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._status = ""
        with heading("Webhooks", "What payment providers told us, and what came of it."):
            Segments("Status", _STATUSES, "", self._choose)
        self._loaded = Loaded(self._load, self._draw, "deliveries", count=5, every_s=10)

    async def _load(self) -> Deliveries:
        return await calls.deliveries(self._visitor, self._status)

    async def _choose(self, status: str) -> None:
        self._status = status
        await self._loaded.refresh()

    def _draw(self, found: Deliveries) -> None:
        with box("section", "rm-card"):
            if not found.deliveries:
                states.empty(
                    "No deliveries",
                    "Events of Stripe and Saleor appear here as soon as they are sent to this server.",
                    symbol="webhook",
                )
                return
            table(
                found.deliveries,
                [
                    Column("Received", lambda one: when(one.received_at_ms)),
                    Column("Provider", lambda one: said(one.provider)),
                    Column("Event", lambda one: Text("span", one.kind, "rm-mono")),
                    Column("Status", lambda one: StatusBadge(one.status)),
                    Column("Why", lambda one: one.error, "rm-wide rm-wrap"),
                    Column("", self._actions),
                ],
                "Deliveries",
                testid="delivery",
            )

    def _actions(self, one: Delivery) -> None:
        if one.has_payload and one.status in ("failed", "received"):
            with box("div", "rm-table__actions"):
                Button("Replay", lambda: self._replay(one), look="ghost", small=True)

    async def _replay(self, one: Delivery) -> None:
        if await attempt(calls.replay(self._visitor, one.provider, one.event_id), "Applied once more."):
            await self._loaded.refresh()


def _audit(visitor: Visitor) -> None:
    with heading("Audit", "Every change that somebody made anywhere, newest first."):
        pass
    AuditLog(visitor, everywhere=True)
