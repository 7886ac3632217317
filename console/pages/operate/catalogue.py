"""`/operate/catalogue`: what is on offer."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from console.calls import shop
from console.calls.shop import Plan, Product
from console.components import states
from console.components.loaded import Loaded
from console.components.status import StatusBadge
from console.components.table import Column, table
from console.components.text import Text, box
from console.pages.buy import price_text
from console.pages.signed_in import heading
from console.session import locale
from console.visitor import Visitor


class _Shelf(Struct, frozen=True):
    products: tuple[Product, ...]
    plans: tuple[Plan, ...]


def catalogue(visitor: Visitor) -> None:
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
