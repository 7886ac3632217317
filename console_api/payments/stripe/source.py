"""From Stripe's events to facts."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
import stripe

from console_api.payments.port import (
    Fact,
    MoneyReturned,
    OrderAbandoned,
    OrderPaid,
    PeriodPaid,
    PeriodUnpaid,
)
from console_api.payments.stripe import events
from console_api.payments.stripe.provider import CHARGE_MARK
from console_api.payments.stripe.truth import Truth
from console_api.payments.webhooks.models import BadSignature, Told
from kit.clock import Clock
from kit.problems import InvalidRequest
from kit.settings import StripeSettings

_NAME = "stripe"
#: How far Stripe's clock may be ahead of ours.
_AHEAD_S = 300
_MAX_CHARS = 256
_EXPIRED = "The checkout expired."
_FAILED = "The payment failed."

_Shape = TypeVar("_Shape")


class StripeSource:
    """Verifies Stripe's deliveries and reads them."""

    name = _NAME

    def __init__(self, client: stripe.StripeClient, settings: StripeSettings, clock: Clock) -> None:
        secrets = settings.webhook_secrets.get_secret_value().split(",")
        self._secrets = tuple(secret.strip() for secret in secrets if secret.strip())
        self.tenant_id = settings.tenant_id
        self._tolerance_s = settings.webhook_tolerance_s
        self._truth = Truth(client, clock)
        self._readers = self._by_kind()

    async def verified(self, headers: Mapping[str, str], body: bytes) -> Told:
        """Return what was told. Raises `BadSignature`."""
        header = headers.get("stripe-signature", "")
        # What is compared in constant time has to be ASCII.
        if not header.isascii() or not any(self._fits(header, body, secret) for secret in self._secrets):
            raise BadSignature
        try:
            event = msgspec.json.decode(body, type=events.Event)
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"That is no event of Stripe's: {error}") from None
        if not 0 < len(event.id) <= _MAX_CHARS or len(event.type) > _MAX_CHARS:
            raise InvalidRequest("The event's id or type is too long.")
        return Told(event_id=event.id, kind=event.type, payload=body.decode())

    async def facts(self, told: Told) -> Sequence[Fact]:
        """Return what an event means; Stripe is asked where an event alone would not say."""
        reader = self._readers.get(told.kind)
        if reader is None:
            return ()
        fact = await reader(msgspec.json.decode(told.payload, type=events.Event))
        return () if fact is None else (fact,)

    def _fits(self, header: str, body: bytes, secret: str) -> bool:
        try:
            # The first half of `construct_event`; we read the event ourselves.
            stripe.WebhookSignature.verify_header(body, header, secret, self._tolerance_s)
        except (stripe.SignatureVerificationError, ValueError):
            return False
        # The library refuses what is too old, and lets through what is signed for the future.
        signed_at = re.search(r"(?:^|,)t=(\d{1,12})(?:,|$)", header)
        return signed_at is not None and int(signed_at[1]) <= time.time() + _AHEAD_S

    def _by_kind(self) -> dict[str, Callable[[events.Event], Awaitable[Fact | None]]]:
        return {
            "checkout.session.completed": self._session_paid,
            "checkout.session.async_payment_succeeded": self._session_paid,
            "checkout.session.async_payment_failed": self._session_failed,
            "checkout.session.expired": self._session_failed,
            "payment_intent.succeeded": self._charge_paid,
            "payment_intent.payment_failed": self._charge_failed,
            "invoice.paid": self._period_paid,
            "invoice.payment_failed": self._period_unpaid,
            "customer.subscription.updated": self._subscription,
            "customer.subscription.deleted": self._subscription,
            "charge.refunded": self._returned,
            "refund.updated": self._returned,
            "refund.failed": self._returned,
            "charge.dispute.created": self._returned,
            "charge.dispute.updated": self._returned,
            "charge.dispute.closed": self._returned,
            "charge.dispute.funds_withdrawn": self._returned,
            "charge.dispute.funds_reinstated": self._returned,
        }

    async def _session_paid(self, event: events.Event) -> Fact | None:
        session = _object(event, events.Session)
        order_id = _order_id(session.metadata)
        # A slow method's payment is told by `async_payment_succeeded`.
        if not order_id or session.payment_status == "unpaid":
            return None
        payment_ref = session.payment_intent or ""
        if not payment_ref and session.invoice and session.amount_total:
            payment_ref = await self._truth.payment_of(session.invoice)
        return OrderPaid(
            provider=_NAME,
            order_id=order_id,
            payment_ref=payment_ref or session.id,
            currency=session.currency or "",
            amount_minor=session.amount_total or 0,
            customer_ref=session.customer or "",
            subscription_ref=session.subscription or "",
            at_ms=event.created * 1000,
        )

    async def _session_failed(self, event: events.Event) -> Fact | None:
        reason = _EXPIRED if event.type.endswith(".expired") else _FAILED
        return _abandoned(event, _object(event, events.Session).metadata, reason)

    async def _charge_paid(self, event: events.Event) -> Fact | None:
        intent = _object(event, events.Intent)
        if not _is_charge(intent):
            return None
        return OrderPaid(
            provider=_NAME,
            order_id=_order_id(intent.metadata),
            payment_ref=intent.id,
            currency=intent.currency,
            amount_minor=intent.amount_received,
            customer_ref=intent.customer or "",
            at_ms=event.created * 1000,
        )

    async def _charge_failed(self, event: events.Event) -> Fact | None:
        intent = _object(event, events.Intent)
        # In a checkout the buyer may try another card; the session's end tells.
        if not _is_charge(intent):
            return None
        error = intent.last_payment_error
        return _abandoned(event, intent.metadata, (error.message if error else None) or _FAILED)

    async def _period_paid(self, event: events.Event) -> Fact | None:
        invoice = _object(event, events.Invoice)
        subscription = _subscription_of(invoice)
        # The first invoice is its order's payment; others (a proration, one by hand) begin no period.
        if not subscription or invoice.billing_reason != "subscription_cycle":
            return None
        period = _period(invoice)
        payment_ref = await self._truth.payment_of(invoice.id) if invoice.amount_paid else ""
        return PeriodPaid(
            provider=_NAME,
            subscription_ref=subscription,
            payment_ref=payment_ref or invoice.id,
            currency=invoice.currency,
            amount_minor=invoice.amount_paid,
            period_start_ms=period.start * 1000,
            period_end_ms=period.end * 1000,
            at_ms=event.created * 1000,
        )

    async def _period_unpaid(self, event: events.Event) -> Fact | None:
        invoice = _object(event, events.Invoice)
        subscription = _subscription_of(invoice)
        if not subscription or invoice.billing_reason != "subscription_cycle":
            return None
        return PeriodUnpaid(
            provider=_NAME,
            subscription_ref=subscription,
            payment_ref=await self._truth.payment_of(invoice.id) or invoice.id,
            at_ms=event.created * 1000,
        )

    async def _subscription(self, event: events.Event) -> Fact | None:
        return await self._truth.subscription(_object(event, events.SubscriptionRef).id)

    async def _returned(self, event: events.Event) -> MoneyReturned | None:
        about = _object(event, events.OfPayment)
        charge = about.id if event.type == "charge.refunded" else about.charge
        return await self._truth.returned(about.payment_intent or "", charge or "")


def _object(event: events.Event, shape: type[_Shape]) -> _Shape:
    return msgspec.json.decode(event.data.object, type=shape)


def _order_id(metadata: Mapping[str, str] | None) -> str:
    return (metadata or {}).get("order_id", "")


def _is_charge(intent: events.Intent) -> bool:
    metadata = intent.metadata or {}
    return bool(_order_id(metadata)) and metadata.items() >= CHARGE_MARK.items()


def _abandoned(event: events.Event, metadata: Mapping[str, str] | None, reason: str) -> Fact | None:
    order_id = _order_id(metadata)
    if not order_id:
        return None
    return OrderAbandoned(provider=_NAME, order_id=order_id, reason=reason, at_ms=event.created * 1000)


def _subscription_of(invoice: events.Invoice) -> str:
    details = invoice.parent.subscription_details if invoice.parent else None
    return details.subscription if details else ""


def _period(invoice: events.Invoice) -> events.Span:
    """Return the newest period that a line is for. The invoice's own is the one before."""
    spans = [
        line.period
        for line in invoice.lines.data
        if line.parent
        and line.parent.subscription_item_details
        and not line.parent.subscription_item_details.proration
    ]
    if not spans:
        raise ValueError(f"no line of invoice {invoice.id} is for a period of the subscription")
    return max(spans, key=lambda span: (span.start, span.end))
