"""Automatic top-up: which pack is bought when, and how much at most."""

from __future__ import annotations

import asyncio

from msgspec import Struct
from nicegui import ui

from console.api import Stale
from console.calls import shop as calls
from console.calls.shop import Plan, TopUp
from console.components.button import Button
from console.components.dialog import dialog
from console.components.fields import choice, number_field, switch
from console.components.loaded import Loaded, attempt
from console.components.text import Text, box, when
from console.formats import Locale, major_of, minor_of
from console.pages.signed_in import card_head
from console.session import locale
from console.visitor import Visitor

_MICRO = 1_000_000
#: What is proposed at first: 100.00, or 10,000 of a currency without minor units.
_CEILING_MINOR = 10_000


class _Known(Struct, frozen=True):
    terms: TopUp | None
    etag: str
    packs: tuple[Plan, ...]


def card(visitor: Visitor) -> None:
    """Draw how top-up is set, and the way to change it."""
    shown = locale()

    async def load() -> _Known:
        (terms, etag), products, plans = await asyncio.gather(
            calls.topup(visitor), calls.products(visitor), calls.plans(visitor)
        )
        credits = {product.code for product in products if product.kind == "credits"}
        packs = tuple(plan for plan in plans if plan.product in credits and plan.prices)
        return _Known(terms, etag, packs)

    def draw(known: _Known) -> None:
        with box("section", "rm-card", testid="topup"):
            with card_head("Automatic top-up", _says(known, shown)):
                if known.packs:
                    Button(
                        "Change" if known.terms else "Set up",
                        lambda: _ask(visitor, known, shown, loaded),
                        look="secondary",
                        testid="set-topup",
                    )
            if known.terms and known.terms.error:
                with box("p", "rm-note rm-note--bad"):
                    Text("span", f"It does not buy: {known.terms.error}")
                    if known.terms.next_try_at_ms:
                        when(known.terms.next_try_at_ms)

    loaded: Loaded[_Known] = Loaded(load, draw, "automatic top-up", count=2)


def _says(known: _Known, shown: Locale) -> str:
    terms = known.terms
    if terms is None or not terms.enabled:
        return (
            "Off. Switched on, a pack of credits is bought before yours run out."
            if known.packs
            else "No packs of credits are on offer."
        )
    name = next((plan.name for plan in known.packs if plan.code == terms.plan), terms.plan)
    spent = shown.money(terms.spent_this_month_minor, terms.currency)
    most = shown.money(terms.ceiling_minor, terms.currency)
    return (
        f"On. Buys {name} when less than {shown.credits(terms.threshold_micro)} credits are available; "
        f"{spent} of at most {most} spent this month."
    )


def _ask(visitor: Visitor, known: _Known, shown: Locale, loaded: Loaded[_Known]) -> None:
    terms = known.terms
    options = {
        f"{plan.code}/{price.currency}": f"{plan.name} – {shown.money(price.amount_minor, price.currency)}"  # noqa: RUF001
        for plan in known.packs
        for price in plan.prices
        if price.every == "once"
    }
    chosen = f"{terms.plan}/{terms.currency}" if terms else ""
    with dialog(
        "Automatic top-up", "Credits are bought by themselves, with the payment method you used last."
    ) as asked:
        on = switch("Buy credits before they run out", terms.enabled if terms else True)
        first = chosen if chosen in options else next(iter(options), "")
        pack = choice("Pack", options, first or None, on_change=lambda _: name_currency())
        with box("div", "rm-form rm-form--two"):
            threshold = number_field(
                "When less is available than",
                terms.threshold_micro / _MICRO if terms else 50,
                suffix="credits",
                testid="topup-threshold",
            )
            ceiling = number_field(
                "At most a month",
                major_of(terms.ceiling_minor, terms.currency)
                if terms
                else major_of(_CEILING_MINOR, _currency(first)),
                suffix=_currency(first).upper(),
                testid="topup-ceiling",
            )
        provider_place = box("div")
        methods: list[str] = []

        def name_currency() -> None:
            ceiling.props["suffix"] = _currency(pack.value).upper()

        async def save() -> None:
            code, _, currency = str(pack.value or "").rpartition("/")
            made = TopUp(
                enabled=bool(on.value),
                threshold_micro=round((threshold.value or 0) * _MICRO),
                plan=code,
                currency=currency,
                provider=str(provider.value) if methods else (terms.provider if terms else "stripe"),
                ceiling_minor=minor_of(ceiling.value or 0, currency),
                cool_off_s=terms.cool_off_s if terms else 3_600,
            )
            if await attempt(_write(visitor, made, known.etag), "Automatic top-up is set."):
                asked.close()
                await loaded.refresh()

        with provider_place:
            provider = choice("Payment", {"": "Asking…"}, "")

        async def ask_methods() -> None:
            plan = known.packs[0]
            names = [
                name
                for name in await calls.payment_methods(visitor, plan.code, plan.prices[0])
                if name != "manual"
            ]
            methods.extend(names)
            provider.set_options(
                {name: METHODS.get(name, name) for name in names}, value=_first(names, terms)
            )

        with box("div", "rm-dialog__foot"):
            Button("Cancel", asked.close, look="secondary")
            Button("Save", save, testid="save-topup")
    with asked:
        ui.timer(0.05, lambda: attempt(ask_methods()), once=True)
    asked.open()


def _currency(pack: object) -> str:
    """Return the currency of a choice of a pack."""
    return str(pack or "").rpartition("/")[2]


def _first(names: list[str], terms: TopUp | None) -> str | None:
    if terms and terms.provider in names:
        return terms.provider
    return names[0] if names else None


async def _write(visitor: Visitor, terms: TopUp, etag: str) -> None:
    try:
        await calls.set_topup(visitor, terms, etag)
    except Stale as error:
        raise Stale(
            error.status,
            error.code,
            "Somebody else changed it in the meantime. Reload the page and try again.",
        ) from error


#: How ways to pay are called.
METHODS = {"stripe": "Card and more (Stripe)", "manual": "Bank transfer", "dummy": "Test payment, no money"}
