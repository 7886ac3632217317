"""`/account/orders`: orders and subscriptions; `/account/orders/{id}`: one order on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar
from urllib.parse import quote

from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from console.api import ApiError
from console.calls import account as accounts
from console.calls import operating
from console.calls import shop as calls
from console.calls.paging import MOST_PAGES, all_pages
from console.calls.shop import Order, OrderPage, Subscription, WelcomeKey
from console.components import states
from console.components.button import Button, link_button
from console.components.code import code_block
from console.components.dialog import confirmed, dialog
from console.components.fields import text_field
from console.components.icon import icon
from console.components.loaded import Loaded, attempt
from console.components.short_id import short_id
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box, link, when
from console.formats import Locale
from console.pages.buy import EVERY
from console.pages.instance.context import instance_path
from console.pages.signed_in import card_head, heading, signed_in
from console.pages.topup import METHODS
from console.services import Services
from console.session import locale
from console.visitor import Visitor

Value = TypeVar("Value")

PATH = "/account/orders"
_EVERY_S = 1.5
_LOOK_AGAIN_S = 10
#: Of an order that is none of these, of so many readings one is made: somebody else may retry or refund it.
_UNDER_WAY = ("pending", "paid")
_SPARED = 20
#: The steps of provisioning, and how they are called.
_STEPS = {
    "instance": "The instance is made",
    "credits": "Credits are added",
    "key": "A key is made",
    "active": "It is switched on",
}


def register(services: Services) -> None:
    """Add both pages. Payment providers send buyers back with `?order=`."""

    @ui.page(PATH)
    def orders(order: str = "") -> Response | None:
        if order:
            return RedirectResponse(f"{PATH}/{quote(order[:128], safe='')}")
        return signed_in(services, "Orders & billing", PATH, _list)

    @ui.page(f"{PATH}/{{order_id}}")
    def one(order_id: str) -> Response | None:
        return signed_in(services, "Order", PATH, lambda visitor: _OrderPage(visitor, order_id))


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
        self._orgs: dict[str, str] = {}
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
        if self._everywhere:
            self._orgs = await operating.org_names(self._visitor)
        pages = await all_pages(lambda cursor: calls.orders(self._visitor, cursor), self._pages)
        return OrderPage(tuple(order for page in pages for order in page.orders), pages[-1].next_cursor)

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
                columns.insert(1, Column("Organisation", self._draw_org))
            table(page.orders, columns, "Orders", href=_path, testid="order-row")
            if page.next_cursor and self._pages < MOST_PAGES:
                Button("Show more", self._more, look="secondary", small=True).classes("rm-more")
            elif page.next_cursor:
                Text("p", "Older orders are not shown.", "rm-muted rm-small")

    def _draw_org(self, order: Order) -> None:
        if order.org_id in self._orgs:
            Text("span", self._orgs[order.org_id])
        else:
            short_id(order.org_id)

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


class _OrderPage:
    """One order. It is read again often while something is to happen by itself, and seldom afterwards."""

    def __init__(self, visitor: Visitor, order_id: str) -> None:
        self._visitor = visitor
        self._order_id = order_id
        self._shown = locale()
        self._operates = False
        #: Of an operator who acts for nobody: whose order it is.
        self._org = ""
        self._names: dict[str, str] | None = None
        self._order: Order | None = None
        self._spared = 0
        with box("nav", "rm-crumbs").props('aria-label="Breadcrumb"'):
            link("Orders & billing", PATH)
            Text("span", "/", "rm-muted").props('aria-hidden="true"')
            Text("span", "Order").props('aria-current="page"')
        self._loaded = Loaded(self._load, self._draw, "order", count=6, every_s=_EVERY_S)

    async def _load(self) -> Order:
        if self._order is None or self._order.status in _UNDER_WAY or self._spared == _SPARED:
            self._spared = 0
            self._order = await self._read()
        else:
            self._spared += 1
        return self._order

    async def _read(self) -> Order:
        if not self._operates:
            try:
                self._operates = (await accounts.account(self._visitor)).operates
            except ApiError:
                self._operates = False
        if self._names is None:
            self._names = await calls.plan_names(self._visitor)
        order = await calls.order(self._visitor, self._order_id)
        if self._operates and not self._visitor.org_id and not self._org:
            self._org = await operating.org_name(self._visitor, order.org_id)
        return order

    async def _anew(self) -> None:
        self._order = None
        await self._loaded.refresh()

    def _draw(self, order: Order) -> None:
        with box("div", "rm-title"), box("div"):
            with box("div", "rm-title__line"):
                Text("h1", (self._names or {}).get(order.plan, order.plan))
                StatusBadge(order.status, testid="order-status")
            Text("p", order.order_id, "rm-muted rm-mono")
        with box("div", "rm-columns"):
            with box("section", "rm-card"):
                Text("h2", "Progress")
                self._draw_steps(order)
                self._draw_next(order)
            self._draw_facts(order)

    def _draw_steps(self, order: Order) -> None:
        names = list(_STEPS)
        reached = (
            names.index(order.step) if order.step in names else len(names) if order.step == "done" else -1
        )
        paid = order.status in ("paid", "provisioned", "failed") or reached >= 0
        agent = order.instance_id or order.step in ("instance", "key", "active")
        steps = [("Ordered", True, False), ("Paid", paid, order.status == "pending")]
        for at, name in enumerate(names):
            if name == "credits" or agent or order.status == "pending":
                done = order.status == "provisioned" or at < reached
                steps.append((_STEPS[name], done, at == reached and order.status == "paid"))
        with box("ol", "rm-steps").style("margin-top:8px"):
            for title, done, now in steps:
                with box("li") as item:
                    item.props["data-state"] = "done" if done else "now" if now else "open"
                    with box("span", "rm-steps__mark"):
                        icon("check")
                    Text("h3", title)

    def _draw_next(self, order: Order) -> None:
        with box("div", "rm-stack rm-stack--tight").style("margin-top:18px"):
            if order.error:
                Text("p", order.error, "rm-note rm-note--bad")
            if not self._org:
                self._draw_buying(order)
            if self._operates:
                self._draw_operating(order)

    def _draw_buying(self, order: Order) -> None:
        if order.status == "pending":
            self._draw_payment(order)
        if order.has_welcome_key:
            with box("div", "rm-note rm-note--brand"):
                Text("span", "Your new instance has a key. It can be shown once.", "rm-grow")
                Button("Show the key", self._reveal, small=True, testid="reveal-key")
        if order.status == "provisioned":
            if order.instance_id:
                link_button("Open your instance", instance_path(order.instance_id), testid="open-instance")
            else:
                link_button("See your wallet", "/account/wallet")

    def _draw_payment(self, order: Order) -> None:
        if order.provider == "dummy":
            Text("p", "Test payments move no money. Paying completes the order.", "rm-note")
            Button("Pay now (test)", lambda: self._act("pay"), testid="pay")
        elif order.provider == "manual":
            Text(
                "p",
                "Transfer the amount with the order's number as reference. The order goes on when the money "
                "was seen.",
                "rm-note",
            )
        else:
            Text(
                "p",
                "Waiting for the payment provider. If you left its page, order again to go back there.",
                "rm-note",
            )
        Button("Cancel the order", lambda: self._act("cancel"), look="ghost")

    def _draw_operating(self, order: Order) -> None:
        actions = {"pending": ("mark_paid", "Mark as paid"), "failed": ("retry", "Provision again")}
        if order.status in actions:
            verb, text = actions[order.status]
            Button(text, lambda: self._ask_note(verb, text), look="secondary", testid=verb)
        if order.status in ("paid", "provisioned") and order.returned_minor < order.amount_minor:
            Button("Refund in full", lambda: self._ask_note("refund", "Refund in full"), look="secondary")

    def _ask_note(self, verb: str, text: str) -> None:
        with dialog(text, "Your reason is kept in the audit log.") as asked:
            note = text_field("Reason", longest=200, testid="note")

            async def go() -> None:
                asked.close()
                await self._act(verb, note=str(note.value or "").strip() or text)

            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button(text, go, testid="confirm")
        asked.open()

    async def _act(self, verb: str, **body: object) -> None:
        if await attempt(calls.act(self._visitor, self._order_id, verb, **body)):
            await self._anew()

    async def _reveal(self) -> None:
        found: list[WelcomeKey] = []

        async def call() -> None:
            found.append(await calls.reveal_key(self._visitor, self._order_id))

        if not await attempt(call()):
            return
        with dialog(
            "Copy it now", "This is the only time it is shown. Keep it with your other secrets.", wide=True
        ) as shown:
            code_block(found[0].key, wrap=True, testid="new-key")
            with box("div", "rm-dialog__foot"):
                Button("I have copied it", shown.close)
        shown.open()
        await self._anew()

    def _draw_facts(self, order: Order) -> None:
        with box("section", "rm-card"):
            Text("h2", "Details")
            with box("dl", "rm-terms").style("margin-top:14px"):
                if self._org:
                    Text("dt", "Organisation")
                    Text("dd", self._org)
                Text("dt", "Amount")
                Text("dd", f"{_amount(order, self._shown)} {EVERY.get(order.every, order.every)}")
                if order.returned_minor:
                    Text("dt", "Returned")
                    Text("dd", self._shown.money(order.returned_minor, order.currency))
                Text("dt", "Paid with")
                Text("dd", METHODS.get(order.provider, order.provider))
                Text("dt", "Ordered")
                with box("dd"):
                    when(order.created_at_ms)
                Text("dt", "Changed")
                with box("dd"):
                    when(order.updated_at_ms)
