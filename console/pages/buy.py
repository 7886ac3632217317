"""`/account/buy`: the catalogue, and ordering from it."""

from __future__ import annotations

import asyncio
import secrets

from fastapi.responses import Response
from msgspec import Struct
from nicegui import ui

from console.calls import shop as calls
from console.calls.shop import Order, Plan, Price, Product
from console.components import states
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import Segments, choice
from console.components.icon import icon
from console.components.loaded import Loaded, attempt
from console.components.text import Text, box
from console.formats import Locale
from console.page_at import page_at
from console.pages.signed_in import heading, signed_in
from console.pages.topup import METHODS
from console.services import Services
from console.session import locale
from console.visitor import Visitor

PATH = "/account/buy"
EVERY = {"once": "once", "month": "a month", "year": "a year", "day": "a day", "week": "a week"}


class _Shelf(Struct, frozen=True):
    products: tuple[Product, ...]
    plans: tuple[Plan, ...]


def register(services: Services) -> None:
    """Add the page."""

    @page_at(PATH)
    def buy(kind: str = "agent") -> Response | None:
        chosen = "credits" if kind == "credits" else "agent"
        return signed_in(services, "Buy", PATH, lambda visitor: _Shop(visitor, chosen))


class _Shop:
    """Agents and packs of credits; a choice opens the checkout."""

    def __init__(self, visitor: Visitor, kind: str) -> None:
        self._visitor = visitor
        self._shown = locale()
        self._kind = kind
        self._shelf: _Shelf | None = None
        with heading("Buy", "An agent becomes an instance of your own; credits are for all your instances."):
            Segments("What to buy", {"agent": "Agents", "credits": "Credits"}, kind, self._choose)
        self._loaded = Loaded(self._load, self._draw, "offers", shape="cards")

    async def _load(self) -> _Shelf:
        products, plans = await asyncio.gather(calls.products(self._visitor), calls.plans(self._visitor))
        offered = [plan for plan in plans if plan.status == "active" and plan.prices]
        return _Shelf(products, tuple(sorted(offered, key=lambda plan: plan.prices[0].amount_minor)))

    def _choose(self, kind: str) -> None:
        self._kind = kind
        if self._shelf is not None:
            self._loaded.show(self._shelf)

    def _draw(self, shelf: _Shelf) -> None:
        self._shelf = shelf
        wanted = [
            product for product in shelf.products if (product.kind == "credits") == (self._kind == "credits")
        ]
        offers = [
            (product, [plan for plan in shelf.plans if plan.product == product.code]) for product in wanted
        ]
        offers = [(product, plans) for product, plans in offers if plans]
        if not offers:
            states.empty(
                "Nothing is on offer here yet",
                "Whoever runs this marketplace has not put anything up for sale in this section.",
                symbol="storefront",
            )
            return
        with box("div", "rm-stack"):
            for product, plans in offers:
                with box("section", "rm-stack") as section:
                    section.props["aria-label"] = product.name
                    with box("div"):
                        Text("h2", product.name)
                        if product.description:
                            Text("p", product.description, "rm-muted")
                    with box("div", "rm-grid"):
                        for plan in plans:
                            self._draw_plan(plan)

    def _draw_plan(self, plan: Plan) -> None:
        price = plan.prices[0]
        with box("article", "rm-card rm-plan", testid="plan"):
            with box("div"):
                Text("h3", plan.name)
                with box("p"):
                    Text("span", self._shown.money(price.amount_minor, price.currency), "rm-plan__price")
                    if price.every != "once":
                        Text("span", f" {EVERY.get(price.every, price.every)}", "rm-muted")
                for other in plan.prices[1:]:
                    Text("p", f"or {price_text(other, self._shown)}", "rm-muted rm-small")
            with box("ul", "rm-ticks"):
                for line in _gives(plan, self._shown, agent=self._kind != "credits"):
                    with box("li"):
                        icon("check")
                        Text("span", line)
            Button("Buy", lambda: self._checkout(plan), testid="buy", label=f"Buy {plan.name}")

    async def _checkout(self, plan: Plan) -> None:
        methods: tuple[str, ...] = ()

        async def ask() -> None:
            nonlocal methods
            methods = await calls.payment_methods(self._visitor, plan.code, plan.prices[0])

        if await attempt(ask()) and methods:
            _Checkout(self._visitor, self._shown, plan, methods)


class _Checkout:
    """The price and the way to pay, then the provider's checkout or the order's page."""

    def __init__(self, visitor: Visitor, shown: Locale, plan: Plan, methods: tuple[str, ...]) -> None:
        self._visitor = visitor
        self._plan = plan
        # Made once per checkout: pressing twice is one order.
        self._key = secrets.token_urlsafe(18)
        order = sorted(
            methods, key=lambda name: ("stripe", "dummy", "manual").index(name) if name in METHODS else 9
        )
        prices = {str(at): price_text(price, shown) for at, price in enumerate(plan.prices)}
        with dialog(f"Buy {plan.name}", "You can review the order and pay on the next page.") as asked:
            self._price = choice("Price", prices, "0")
            self._method = choice(
                "Pay with", {name: METHODS.get(name, name) for name in order}, order[0], testid="pay-with"
            )
            with box("div", "rm-dialog__foot"):
                Button("Cancel", asked.close, look="secondary")
                Button("Order", self._order, testid="order")
        asked.open()

    async def _order(self) -> None:
        price: Price = self._plan.prices[int(self._price.value)]
        placed: list[Order] = []

        async def call() -> None:
            key = f"{self._key}-{self._price.value}-{self._method.value}"
            placed.append(
                await calls.place(self._visitor, self._plan.code, price, str(self._method.value), key)
            )

        if await attempt(call()):
            ui.navigate.to(placed[0].checkout_url or f"/account/orders/{placed[0].order_id}")


def price_text(price: Price, shown: Locale) -> str:
    """Return a price with how often it is due."""
    amount = shown.money(price.amount_minor, price.currency)
    return f"{amount} {EVERY.get(price.every, price.every)}" if price.every != "once" else f"{amount}, once"


def _gives(plan: Plan, shown: Locale, *, agent: bool) -> list[str]:
    lines = []
    if plan.allowance:
        lines.append(
            f"{shown.whole_credits(plan.allowance.amount_micro)} credits each {plan.allowance.every}"
        )
        if plan.allowance.rollover_cap_micro:
            lines.append(
                f"Up to {shown.whole_credits(plan.allowance.rollover_cap_micro)} unused credits roll over"
            )
    if plan.credits_once_micro:
        extra = " to begin with" if plan.allowance else ""
        lines.append(f"{shown.whole_credits(plan.credits_once_micro)} credits{extra}")
    if not agent:
        return [*lines, "For all instances of your organisation"]
    terms = plan.entitlements
    models = ", ".join(terms.models[:3])
    more = len(terms.models) - 3
    lines.append(f"Models: {models}{f' and {more} more' if more > 0 else ''}")
    if terms.tools:
        lines.append(
            f"{len(terms.tools)} tool{'s' if len(terms.tools) != 1 else ''}: {', '.join(terms.tools[:3])}"
        )
    if terms.limits.requests_per_minute:
        lines.append(f"{shown.integer(terms.limits.requests_per_minute)} requests a minute")
    return lines
