"""Forms of the catalogue: a product, and a plan. What a form does not show stays as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from console.api import ApiError
from console.calls import offering
from console.components.amounts import credits_in, micro_of
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import choice, number_field, text_field
from console.components.loaded import attempt, toast
from console.components.text import Text, box
from console.visitor import Visitor

_STATUSES = {"active": "Active: on offer", "draft": "Draft: only operators see it", "archived": "Archived"}
_KINDS = {"agent": "An agent", "credits": "Credits for those one has"}
_EVERY = {"once": "Once", "day": "Each day", "month": "Each month", "year": "Each year"}
_INCLUDES = {"month": "Each month", "day": "Each day"}
_NEW_PRODUCT: dict[str, Any] = {"name": "", "description": "", "kind": "agent", "status": "draft"}
_NEW_PLAN: dict[str, Any] = {
    "product": "",
    "name": "",
    "status": "draft",
    "entitlements": {"models": []},
    "allowance": None,
    "credits_once_micro": 0,
    "prices": [],
}

Done = Callable[[], Awaitable[None]]


async def edit(visitor: Visitor, kind: str, code: str, products: dict[str, str], done: Done) -> None:
    """Open the form of a product or plan; an empty code makes a new one."""
    wanted, etag = dict(_NEW_PRODUCT if kind == "products" else _NEW_PLAN), ""
    if code:
        try:
            wanted, etag = await offering.terms(visitor, kind, code)
        except ApiError as error:
            toast(error.detail, bad=True)
            return
    title = f"{'Edit' if code else 'New'} {kind.removesuffix('s')}"
    with dialog(title, "Instances of a plan follow a change at once.", wide=True) as asked:
        with box("div", "rm-form"):
            named = text_field("Code", code, longest=64, hint="a-z, 0-9, dashes; for good", testid="code")
            if code:
                named.disable()
            read = _product(wanted) if kind == "products" else _plan(wanted, products)

        async def go() -> None:
            work = offering.put(visitor, kind, str(named.value or "").strip(), read(), etag)
            if await attempt(work, "Saved."):
                asked.close()
                await done()

        with box("div", "rm-dialog__foot"):
            Button("Cancel", asked.close, look="secondary")
            Button("Save", go, testid="confirm")
    asked.open()


def _product(terms: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    name = text_field("Name", terms["name"], longest=256, testid="offer-name")
    description = text_field("Description", terms["description"], longest=8_192, lines=3)
    kind = choice("What it is", _KINDS, terms["kind"])
    status = choice("Status", _STATUSES, terms["status"])
    return lambda: {
        **terms,
        "name": str(name.value or "").strip(),
        "description": str(description.value or ""),
        "kind": kind.value,
        "status": status.value,
    }


def _plan(terms: dict[str, Any], products: dict[str, str]) -> Callable[[], dict[str, Any]]:
    allowance = terms["allowance"] or {}
    with box("div", "rm-form rm-form--two"):
        product = choice("Product", products, terms["product"] or next(iter(products), None))
        name = text_field("Name", terms["name"], longest=256, testid="offer-name")
        status = choice("Status", _STATUSES, terms["status"])
        models = text_field(
            "Models",
            ", ".join(terms["entitlements"]["models"]),
            longest=4_096,
            hint="With commas between; the first is the default",
            testid="offer-models",
        )
        given = credits_in(allowance.get("amount_micro", 0))
        included = number_field("Credits included", given, hint="0: none", testid="included")
        every = choice("Included", _INCLUDES, allowance.get("every", "month"))
        once = number_field("Credits with the order", credits_in(terms["credits_once_micro"]))
    prices = _Prices(terms["prices"])

    def read() -> dict[str, Any]:
        micro = micro_of(included.value) or 0
        return {
            **terms,
            "product": product.value,
            "name": str(name.value or "").strip(),
            "status": status.value,
            "entitlements": {
                **terms["entitlements"],
                "models": [part.strip() for part in str(models.value or "").split(",") if part.strip()],
            },
            "allowance": {**allowance, "amount_micro": micro, "every": every.value} if micro else None,
            "credits_once_micro": micro_of(once.value) or 0,
            "prices": prices.read(),
        }

    return read


class _Prices:
    """Rows of a price: currency, amount, how often."""

    def __init__(self, prices: list[dict[str, Any]]) -> None:
        self._rows: list[tuple[dict[str, Any], Any, Any, Any]] = []
        Text("h3", "Prices")
        self._list = box("div", "rm-stack rm-stack--tight")
        for price in prices:
            self._add(price)
        Button("Add a price", lambda: self._add({}), look="secondary", small=True, testid="add-price")

    def _add(self, price: dict[str, Any]) -> None:
        with self._list, box("div", "rm-filters"):
            currency = text_field("Currency", price.get("currency", "usd"), longest=3)
            amount = number_field("Cents", price.get("amount_minor"), most=1e10, hint="Empty: no such price")
            every = choice("How often", _EVERY, price.get("every", "month"))
        self._rows.append((price, currency, amount, every))

    def read(self) -> list[dict[str, Any]]:
        return [
            {
                **price,
                "currency": str(currency.value or "").strip().lower(),
                "amount_minor": int(amount.value),
                "every": every.value,
            }
            for price, currency, amount, every in self._rows
            if amount.value is not None
        ]
