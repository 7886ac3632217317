"""The parts of Stripe's events that we read, as its API of 2025-03-31 and later shapes them."""

from __future__ import annotations

from msgspec import Raw, Struct


class Data(Struct):
    object: Raw


class Event(Struct):
    """`created`: Unix seconds."""

    id: str
    type: str
    created: int
    data: Data


class Session(Struct):
    """A checkout. `payment_status`: `paid`, `unpaid` or `no_payment_required`."""

    id: str
    mode: str
    payment_status: str
    metadata: dict[str, str] | None
    currency: str | None
    amount_total: int | None
    customer: str | None
    subscription: str | None
    payment_intent: str | None
    invoice: str | None = None


class PaymentError(Struct):
    message: str | None = None


class Intent(Struct):
    id: str
    metadata: dict[str, str] | None
    currency: str
    amount_received: int
    customer: str | None = None
    last_payment_error: PaymentError | None = None


class SubscriptionDetails(Struct):
    subscription: str


class InvoiceParent(Struct):
    subscription_details: SubscriptionDetails | None = None


class ItemDetails(Struct):
    proration: bool = False


class LineParent(Struct):
    subscription_item_details: ItemDetails | None = None


class Span(Struct):
    start: int
    end: int


class InvoiceLine(Struct):
    period: Span
    parent: LineParent | None = None


class InvoiceLines(Struct):
    data: list[InvoiceLine]


class Invoice(Struct):
    """`parent` has no default: an endpoint of an older API version would leave it out, and must not pass."""

    id: str
    billing_reason: str | None
    currency: str
    amount_paid: int
    lines: InvoiceLines
    parent: InvoiceParent | None


class SubscriptionRef(Struct):
    id: str


class OfPayment(Struct):
    """A charge, a refund or a dispute; all of them name their payment intent."""

    id: str
    payment_intent: str | None
    #: Of refunds and disputes; a charge is itself.
    charge: str | None = None
