"""What is so now, asked of Stripe, for events that may be overtaken by others.

`at_ms` of these facts is our clock before we asked: of two answers, the one that was asked for later knows
everything that any event before it told.
"""

from __future__ import annotations

import stripe

from console_api.payments.port import MoneyReturned, SubscriptionIs, SubscriptionStatus
from console_api.payments.stripe.client import errors_told
from kit.clock import Clock

_NAME = "stripe"
_STATUS: dict[str, SubscriptionStatus] = {
    "active": "active",
    "trialing": "active",
    "past_due": "past_due",
    "unpaid": "past_due",
    "paused": "past_due",
    "canceled": "ended",
    "incomplete_expired": "ended",
}
_MOST = 100


class Truth:
    """Asks Stripe. Each call raises `port.Unavailable` or `port.Refused`."""

    def __init__(self, client: stripe.StripeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def payment_of(self, invoice_id: str) -> str:
        """Return the payment intent an invoice is paid with, or else the charge, or else nothing."""
        with errors_told():
            payments = await self._client.v1.invoice_payments.list_async(
                {"invoice": invoice_id, "limit": _MOST}
            )
        # A paid one first: others may have been given up.
        for payment in sorted(payments.data, key=lambda one: one.status != "paid"):
            # Which of them is there depends on the payment's type.
            for name in ("payment_intent", "charge"):
                paid_with = getattr(payment.payment, name, None)
                if paid_with:
                    return paid_with if isinstance(paid_with, str) else str(paid_with.id)
        return ""

    async def returned(self, payment_intent: str, charge_id: str) -> MoneyReturned | None:
        """Return how much of a payment went back, by refunds and disputes together.

        Of a payment without an intent (an old integration's), by its charge.
        """
        at_ms = self._clock()
        with errors_told():
            if payment_intent:
                charges = (
                    await self._client.v1.charges.list_async(
                        {"payment_intent": payment_intent, "limit": _MOST}
                    )
                ).data
                disputes = await self._client.v1.disputes.list_async(
                    {"payment_intent": payment_intent, "limit": _MOST}
                )
            elif charge_id:
                charges = [await self._client.v1.charges.retrieve_async(charge_id)]
                disputes = await self._client.v1.disputes.list_async({"charge": charge_id, "limit": _MOST})
            else:
                return None
        paid = sum(charge.amount_captured for charge in charges)
        refunded = sum(charge.amount_refunded for charge in charges)
        disputed = sum(dispute.amount for dispute in disputes.data if _took(dispute.status))
        reasons = [word for word, amount in (("refund", refunded), ("dispute", disputed)) if amount]
        return MoneyReturned(
            provider=_NAME,
            payment_ref=payment_intent or charge_id,
            # A payment that was refunded may be disputed, too; no more than was paid is gone for us.
            returned_minor=min(paid, refunded + disputed),
            reason=" and ".join(reasons),
            at_ms=at_ms,
        )

    async def subscription(self, subscription_id: str) -> SubscriptionIs | None:
        """Return how a subscription stands; `None` while its first payment is open."""
        at_ms = self._clock()
        with errors_told():
            found = await self._client.v1.subscriptions.retrieve_async(subscription_id)
        if found.status == "incomplete":
            return None
        status = _STATUS.get(found.status)
        if status is None:
            raise ValueError(f"Stripe calls subscription {subscription_id} {found.status!r}")
        return SubscriptionIs(
            provider=_NAME,
            subscription_ref=subscription_id,
            status=status,
            ends_at_ms=_ends_at_s(found) * 1000,
            at_ms=at_ms,
        )


def _took(status: str) -> bool:
    """Return whether a dispute holds the money back. An inquiry (`warning_…`) does not yet."""
    return status not in ("won", "prevented") and not status.startswith("warning_")


def _ends_at_s(found: stripe.Subscription) -> int:
    if found.ended_at:
        return found.ended_at
    if found.cancel_at:
        return found.cancel_at
    if not found.cancel_at_period_end:
        return 0
    # Not `found.items`, which is also the method of a mapping.
    return max((item.current_period_end for item in found["items"].data), default=0)
