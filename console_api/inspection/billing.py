"""Why a run costs what it does, from its state and its pinned price books."""

from __future__ import annotations

from console_api.inspection import repository
from console_api.inspection.models import Bill, BillCorrection, BillItem
from console_api.money import wire
from console_api.stores import Stores
from metering.corrections import Adjustment, versions_of
from metering.itemised import Item, itemised
from metering.runs import RunState


async def bill(stores: Stores, state: RunState | None, price_version: str, charged: int) -> Bill:
    """Return the run's price item by item, beside what it was charged. Raises `RedisError`."""
    items: list[BillItem] = []
    corrections: list[BillCorrection] = []
    missing, total = "", 0
    if state is not None:
        wanted = versions_of(state)
        books = await repository.books(stores, wanted)
        missing = min(wanted - books.keys(), default="")
        if not missing:
            made = itemised(state, books)
            items = [_item(item) for item in made.items]
            corrections = [_correction(state, one) for one in made.adjustments]
            total = made.total_micro
    return Bill.model_validate(
        {
            "price_version": price_version,
            "missing_version": missing,
            "items": items,
            "corrections": corrections,
            **wire(total=total, charged=charged),
            "exact": not missing and total == charged,
        }
    )


def _item(item: Item) -> BillItem:
    return BillItem.model_validate(
        {
            "component": item.component,
            "reference": item.reference,
            "name": item.name,
            "quantity": item.quantity,
            "rate_micro": item.rate,
            "per": item.per,
            "above_input_tokens": item.above_input_tokens,
            "unpriced": item.unpriced,
            **wire(amount=item.amount_micro),
        }
    )


def _correction(state: RunState, one: Adjustment) -> BillCorrection:
    told = state.corrections[one.request_id]
    return BillCorrection.model_validate(
        {
            "request_id": one.request_id,
            "kind": told.kind,
            "call_id": told.call_id,
            "reason": one.reason,
            "price_version": one.price_version,
            "occurred_at_ms": one.occurred_at_ms,
            **wire(amount=one.amount_micro),
        }
    )
