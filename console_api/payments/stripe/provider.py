"""What orders ask of Stripe."""

from __future__ import annotations

from typing import Any

import stripe
from stripe.params import PaymentIntentCreateParams, RefundCreateParams
from stripe.params.checkout import SessionCreateParams

from console_api.payments.port import Charged, Purchase, Refused, Started
from console_api.payments.stripe.client import errors_told

#: Marks payment intents that `charge` made: those of a checkout are told by its session.
CHARGE_MARK = {"runmeter": "charge"}

_ASKS_BUYER = "The bank wants the buyer to confirm this payment; pay the order by hand."


class StripeProvider:
    """The port's `Provider`. Every change names an idempotency key, which Stripe keeps for a day."""

    name = "stripe"

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def checkout(self, purchase: Purchase) -> Started:
        """Begin a checkout on Stripe's page.

        The same order's again is the same session. With other terms Stripe refuses it: two open sessions
        would let the buyer pay twice.
        """
        with errors_told():
            session = await self._client.v1.checkout.sessions.create_async(
                _session(purchase), {"idempotency_key": f"checkout:{purchase.order_id}"}
            )
        return Started(
            provider_ref=session.id, url=session.url or "", expires_at_ms=session.expires_at * 1000
        )

    async def charge(self, purchase: Purchase) -> Charged:
        """Take money of the customer's default method, or else the newest stored one."""
        if not purchase.customer_ref:
            raise Refused("The buyer has not paid with Stripe before, so there is nothing to charge.")
        with errors_told():
            method = await self._method(purchase.customer_ref)
        if not method:
            return Charged(payment_ref="", status="declined", reason="There is no stored payment method.")
        try:
            with errors_told():
                intent = await self._client.v1.payment_intents.create_async(
                    _intent(purchase, method), {"idempotency_key": f"charge:{purchase.order_id}"}
                )
        except stripe.CardError as error:
            return _declined(error)
        if intent.status in ("succeeded", "processing"):
            return Charged(
                payment_ref=intent.id, status="succeeded" if intent.status == "succeeded" else "pending"
            )
        return Charged(payment_ref=intent.id, status="declined", reason=_ASKS_BUYER)

    async def refund(self, payment_ref: str, amount_minor: int, key: str) -> None:
        """Return money of a payment. Raises `Refused` for more than is left of it."""
        params: RefundCreateParams = {"amount": amount_minor, "metadata": {"key": key}}
        if payment_ref.startswith("pi_"):
            params["payment_intent"] = payment_ref
        elif payment_ref.startswith("ch_"):
            params["charge"] = payment_ref
        else:
            raise Refused("Nothing was paid with Stripe there, so nothing can be returned.")
        with errors_told():
            await self._client.v1.refunds.create_async(params, {"idempotency_key": f"refund:{key}"})

    async def cancel(self, subscription_ref: str, *, at_period_end: bool) -> None:
        """End a subscription, which may have ended already."""
        subscriptions = self._client.v1.subscriptions
        with errors_told():
            found = await subscriptions.retrieve_async(subscription_ref)
            if found.status in ("canceled", "incomplete_expired"):
                return
            if at_period_end:
                await subscriptions.update_async(subscription_ref, {"cancel_at_period_end": True})
            else:
                await subscriptions.cancel_async(subscription_ref)

    async def portal(self, customer_ref: str, return_url: str) -> str:
        """Return the address of a session of the billing portal, which is good for some minutes."""
        with errors_told():
            session = await self._client.v1.billing_portal.sessions.create_async(
                {"customer": customer_ref, "return_url": return_url}
            )
        return session.url

    async def _method(self, customer_ref: str) -> str:
        customer = await self._client.v1.customers.retrieve_async(customer_ref)
        if getattr(customer, "deleted", False):
            return ""
        settings = customer.invoice_settings
        chosen = settings.default_payment_method if settings else None
        if chosen:
            return chosen if isinstance(chosen, str) else chosen.id
        stored = await self._client.v1.customers.payment_methods.list_async(customer_ref, {"limit": 1})
        return stored.data[0].id if stored.data else ""


def _session(purchase: Purchase) -> SessionCreateParams:
    metadata = _metadata(purchase)
    params: SessionCreateParams = {
        "mode": "payment" if purchase.every == "once" else "subscription",
        "client_reference_id": purchase.order_id,
        "metadata": metadata,
        "line_items": [_item(purchase)],
    }
    if purchase.every == "once":
        # So that a later top-up can be charged to it.
        params["payment_intent_data"] = {"metadata": metadata, "setup_future_usage": "off_session"}
    else:
        params["subscription_data"] = {"metadata": metadata}
    if purchase.customer_ref:
        params["customer"] = purchase.customer_ref
    else:
        if purchase.buyer_email:
            params["customer_email"] = purchase.buyer_email
        if purchase.every == "once":
            params["customer_creation"] = "always"
    if purchase.success_url:
        params["success_url"] = purchase.success_url
    if purchase.cancel_url:
        params["cancel_url"] = purchase.cancel_url
    return params


def _item(purchase: Purchase) -> Any:
    if purchase.price_ref:
        return {"price": purchase.price_ref, "quantity": 1}
    price: dict[str, Any] = {
        "currency": purchase.currency,
        "unit_amount": purchase.amount_minor,
        "product_data": {"name": purchase.title, "metadata": {"plan_code": purchase.plan_code}},
    }
    if purchase.every != "once":
        price["recurring"] = {"interval": purchase.every}
    return {"price_data": price, "quantity": 1}


def _intent(purchase: Purchase, method: str) -> PaymentIntentCreateParams:
    return {
        "amount": purchase.amount_minor,
        "currency": purchase.currency,
        "customer": purchase.customer_ref,
        "payment_method": method,
        "off_session": True,
        "confirm": True,
        "description": purchase.title,
        "metadata": {**_metadata(purchase), **CHARGE_MARK},
    }


def _metadata(purchase: Purchase) -> dict[str, str]:
    return {"order_id": purchase.order_id, "tenant_id": purchase.tenant_id, "org_id": purchase.org_id}


def _declined(error: stripe.CardError) -> Charged:
    """Stripe words a card error's message for the buyer; the decline code may be not for their eyes."""
    body = error.error
    intent = body.payment_intent if body else None
    reason = _ASKS_BUYER if error.code == "authentication_required" else error.user_message
    return Charged(
        payment_ref=intent.id if intent else "",
        status="declined",
        reason=reason or "The payment was declined.",
    )
