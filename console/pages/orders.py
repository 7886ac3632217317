"""`/account/orders`: orders and subscriptions. One order is `order`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar
from urllib.parse import quote

from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from console.calls import shop as calls
from console.calls.paging import MOST_PAGES, all_pages
from console.calls.shop import Order, OrderPage, Subscription
from console.components import states
from console.components.button import Button, link_button
from console.components.dialog import confirmed
from console.components.loaded import Loaded, attempt
from console.components.org_names import OrgNames
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box, link, when
from console.formats import Locale
from console.page_at import page_at
from console.pages.buy import EVERY
from console.pages.instance.context import instance_path
from console.pages.order import PATH, OneOrder
from console.pages.signed_in import card_head, heading, signed_in
from console.pages.topup import METHODS
from console.services import Services
from console.session import locale
from console.visitor import Visitor

Value = TypeVar("Value")

_LOOK_AGAIN_S = 10


def register(services: Services) -> None:
    """Add both pages. Payment providers send buyers back with `?order=`."""

    @page_at(PATH)
    def orders(order: str = "") -> Response | None:
        if order:
            return RedirectResponse(f"{PATH}/{quote(order[:128], safe='')}")
        return signed_in(services, "Orders & billing", PATH, _list)

    @page_at(f"{PATH}/{{order_id}}")
    def one(order_id: str) -> Response | None:
        return signed_in(services, "Order", PATH, lambda visitor: OneOrder(visitor, order_id))


def _list(visitor: Visitor) -> None:
    with (
        heading("Orders & billing", "What your organisation bought, and what goes on."),
        box("div", "rm-row"),
    ):
        Button(
            "Invoices & payment methods", lambda: _to_portal(visitor), look="secondary", symbol="open_in_new"
        )
        link_button("Buy", "/account/buy", symbol="add")
    with box("div", "rm-stack"):
        _Subscriptions(visitor)
        OrderList(visitor)


async def _with_names(visitor: Visitor, work: Awaitable[Value]) -> tuple[Value, dict[str, str]]:
    """Return what a call answers, with how plans are called."""
    answer, names = await asyncio.gather(work, calls.plan_names(visitor))
    return answer, names


async def _to_portal(visitor: Visitor) -> None:
    found: list[str] = []

    async def call() -> None:
        found.append(await calls.portal(visitor, "stripe"))

    if await attempt(call()):
        ui.navigate.to(found[0])


class OrderList:
    """Orders, older ones on request; `everywhere` are those of the whole marketplace, kept up to date."""

    def __init__(self, visitor: Visitor, *, everywhere: bool = False) -> None:
        self._visitor = visitor
        self._everywhere = everywhere
        self._orgs = OrgNames(visitor)
        self._locale = locale()
        self._pages = 1
        self._loaded = Loaded(
            lambda: _with_names(visitor, self._load()),
            lambda found: self._draw(*found),
            "orders",
            count=5,
            every_s=_LOOK_AGAIN_S if everywhere else 0,
        )

    async def _load(self) -> OrderPage:
        pages = await all_pages(lambda cursor: calls.orders(self._visitor, cursor), self._pages)
        found = tuple(order for page in pages for order in page.orders)
        if self._everywhere:
            await self._orgs.learn(order.org_id for order in found)
        return OrderPage(found, pages[-1].next_cursor)

    def _draw(self, page: OrderPage, names: dict[str, str]) -> None:
        with box("section", "rm-card", testid="orders"):
            with card_head("Orders"):
                pass
            if not page.orders:
                self._draw_none()
                return
            columns: list[Column[Order]] = [
                Column("Order", lambda order: link(names.get(order.plan, order.plan), _path(order))),
                Column("Status", lambda order: StatusBadge(order.status)),
                Column("Paid with", lambda order: METHODS.get(order.provider, order.provider), "rm-wide"),
                Column("Ordered", lambda order: when(order.created_at_ms), "rm-wide"),
                Column("Amount", lambda order: _amount(order, self._locale), "rm-number"),
            ]
            if self._everywhere:
                columns.insert(1, Column("Organisation", lambda order: self._orgs.draw(order.org_id)))
            table(page.orders, columns, "Orders", href=_path, testid="order-row", stacked=True)
            if page.next_cursor and self._pages < MOST_PAGES:
                Button("Show more", self._more, look="secondary", small=True).classes("rm-more")
            elif page.next_cursor:
                Text("p", "Older orders are not shown.", "rm-muted rm-small")

    def _draw_none(self) -> None:
        if self._everywhere:
            states.empty("No orders yet", "What buyers order appears here.", symbol="receipt_long")
            return
        states.empty(
            "No orders yet",
            "What you buy appears here, with how far it is.",
            symbol="receipt_long",
            action="Choose an agent",
            href="/account/buy",
        )

    async def _more(self) -> None:
        self._pages += 1
        await self._loaded.refresh()


def _path(order: Order) -> str:
    return f"{PATH}/{quote(order.order_id, safe='')}"


def _amount(order: Order, shown: Locale) -> str:
    return shown.money(order.amount_minor, order.currency)


class _Subscriptions:
    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._loaded = Loaded(
            lambda: _with_names(visitor, calls.subscriptions(visitor)), self._draw, "subscriptions", count=2
        )

    def _draw(self, answer: tuple[tuple[Subscription, ...], dict[str, str]]) -> None:
        found, names = answer
        if not found:
            return
        with box("section", "rm-card", testid="subscriptions"):
            with card_head("Subscriptions"):
                pass
            table(
                found,
                [
                    Column("Plan", lambda one: names.get(one.plan, one.plan)),
                    Column("Status", lambda one: StatusBadge(one.status)),
                    Column("Due", lambda one: EVERY.get(one.every, one.every), "rm-wide"),
                    Column("Paid until", lambda one: when(one.paid_until_ms, "date")),
                    Column(
                        "Ends",
                        lambda one: when(one.ends_at_ms, "date") if one.ends_at_ms else "Goes on",
                        "rm-wide",
                    ),
                    Column("", self._actions),
                ],
                "Subscriptions",
                testid="subscription",
                stacked=True,
            )

    def _actions(self, one: Subscription) -> None:
        with box("div", "rm-table__actions"):
            if one.instance_id:
                link_button("Instance", instance_path(one.instance_id), look="ghost", small=True)
            if one.status != "ended" and not one.ends_at_ms:
                Button(
                    "Cancel", lambda: self._cancel(one), look="ghost", small=True, label=f"Cancel {one.plan}"
                )

    async def _cancel(self, one: Subscription) -> None:
        what = "It goes on until the end of what is paid. Then its instance stops."
        if not await confirmed("Cancel this subscription?", what, "Cancel subscription"):
            return
        if await attempt(calls.cancel_subscription(self._visitor, one.subscription_id), "It will end."):
            await self._loaded.refresh()
