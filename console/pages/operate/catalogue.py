"""`/operate/catalogue`: what is on offer."""

from __future__ import annotations

import asyncio
from functools import partial

from msgspec import Struct

from console.calls import shop
from console.calls.shop import Plan, Product
from console.components import states
from console.components.button import Button
from console.components.loaded import Loaded
from console.components.status import StatusBadge, said
from console.components.table import Column, table
from console.components.text import Text, box
from console.pages.buy import price_text
from console.pages.operate.offer_forms import edit
from console.pages.signed_in import card_head, heading
from console.session import locale
from console.visitor import Visitor


class _Shelf(Struct, frozen=True):
    products: tuple[Product, ...]
    plans: tuple[Plan, ...]


class Catalogue:
    """Products and plans; an operator makes and changes both."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._locale = locale()
        self._names: dict[str, str] = {}
        with heading("Catalogue", "Products and their plans, on offer or not."), box("div", "rm-row"):
            Button("New product", partial(self._edit, "products", ""), look="secondary", testid="new-product")
            Button("New plan", partial(self._edit, "plans", ""), symbol="add", testid="new-plan")
        self._loaded = Loaded(self._load, self._draw, "catalogue", count=5)

    async def _load(self) -> _Shelf:
        return _Shelf(*await asyncio.gather(shop.products(self._visitor), shop.plans(self._visitor)))

    async def _edit(self, kind: str, code: str) -> None:
        await edit(self._visitor, kind, code, self._names, self._loaded.refresh)

    def _draw(self, shelf: _Shelf) -> None:
        self._names = {product.code: product.name for product in shelf.products}
        with box("div", "rm-stack"):
            with box("section", "rm-card"):
                with card_head("Plans"):
                    pass
                if shelf.plans:
                    self._plans(shelf.plans)
                else:
                    states.empty("No plan yet", "Make a product first, then its plans.", symbol="inventory_2")
            if shelf.products:
                with box("section", "rm-card"):
                    with card_head("Products"):
                        pass
                    self._products(shelf.products)

    def _plans(self, plans: tuple[Plan, ...]) -> None:
        shown = self._locale
        table(
            plans,
            [
                Column("Plan", lambda one: one.name),
                Column("Code", lambda one: Text("span", one.code, "rm-mono")),
                Column("Product", lambda one: self._names.get(one.product, one.product), "rm-wide"),
                Column("Status", lambda one: StatusBadge(one.status)),
                Column(
                    "Prices",
                    lambda one: "; ".join(price_text(price, shown) for price in one.prices),
                    "rm-wide rm-wrap",
                ),
                Column(
                    "Credits",
                    lambda one: shown.whole_credits(
                        one.credits_once_micro + (one.allowance.amount_micro if one.allowance else 0)
                    ),
                    "rm-number",
                ),
                Column("", lambda one: self._action("plans", one.code, one.name)),
            ],
            "Plans",
            testid="plan-row",
            stacked=True,
        )

    def _products(self, products: tuple[Product, ...]) -> None:
        table(
            products,
            [
                Column("Product", lambda one: one.name),
                Column("Code", lambda one: Text("span", one.code, "rm-mono")),
                Column("Kind", lambda one: said(one.kind), "rm-wide"),
                Column("Status", lambda one: StatusBadge(one.status)),
                Column("", lambda one: self._action("products", one.code, one.name)),
            ],
            "Products",
            testid="product-row",
            stacked=True,
        )

    def _action(self, kind: str, code: str, name: str) -> None:
        with box("div", "rm-table__actions"):
            Button("Edit", partial(self._edit, kind, code), look="ghost", small=True, label=f"Edit {name}")
