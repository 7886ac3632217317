"""The part of Stripe's HTTP API that we use, with its state, and what its buyers and banks do.

Form-encoded requests, idempotency keys, pages and errors as Stripe documents them; events have the shapes of
the API version of the installed client, and are signed with a secret of ours.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import stripe
from aiohttp import web
from stripe_forms import parsed

KEY = "sk_test_4242"
SECRET = "whsec_new"
OLD_SECRET = "whsec_old"

Thing = dict[str, Any]


class Fault(Exception):
    """An error that Stripe answers with."""

    def __init__(self, status: int, **error: Any) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.body = {"error": error}


@dataclass
class StripeServer:
    """Stripe, as far as a test needs it."""

    url: str = ""
    #: Everything there is, by id.
    things: dict[str, Thing] = field(default_factory=dict)
    #: What was answered to an idempotency key: method, path and parameters; status and body.
    answered: dict[str, tuple[Any, int, Thing]] = field(default_factory=dict)
    #: Each request that arrived: method, path, parameters, headers.
    requests: list[tuple[str, str, Thing, dict[str, str]]] = field(default_factory=list)
    #: While cleared, requests hang.
    running: asyncio.Event = field(default_factory=asyncio.Event)
    #: So many requests are worked on, and their answers lost.
    lose_answers: int = 0
    #: So many requests are answered with this status instead.
    fail_with: list[int] = field(default_factory=list)
    #: The next charge is declined: code, decline code, message.
    decline: tuple[str, str, str] | None = None
    #: The status of the next payment intent that is confirmed.
    next_status: str = "succeeded"
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.running.set()

    def add(self, kind: str, prefix: str, **fields: Any) -> Thing:
        number = next(self._ids)
        thing = {"id": f"{prefix}_{number}", "object": kind, "created": int(time.time()), **fields}
        self.things[thing["id"]] = thing
        return thing

    def of(self, kind: str, **fields: Any) -> list[Thing]:
        """Return the things of a kind with these fields, newest first."""
        return [
            thing
            for thing in reversed(self.things.values())
            if thing["object"] == kind and all(thing.get(name) == value for name, value in fields.items())
        ]

    # What happens at Stripe by itself, and by buyers, banks and operators. Each returns the events of it.

    def event(self, kind: str, thing: Thing, created: int | None = None) -> Thing:
        """Return an event with a snapshot of a thing."""
        return {
            "id": f"evt_{next(self._ids)}",
            "object": "event",
            "api_version": stripe.api_version,
            "type": kind,
            "created": int(time.time()) if created is None else created,
            "livemode": False,
            "data": {"object": json.loads(json.dumps(thing))},
        }

    def pay(self, session_id: str) -> Thing:
        """Have the buyer pay a checkout; return `checkout.session.completed`."""
        session = self.things[session_id]
        if not session["customer"]:
            session["customer"] = self.add_customer()["id"]
        session |= {"status": "complete", "payment_status": "paid", "url": None}
        if session["mode"] == "payment":
            intent = self._paid_intent(session["amount_total"], session["currency"], session["customer"])
            intent["metadata"] = session["metadata"]
            session["payment_intent"] = intent["id"]
        else:
            subscription = self._subscribed(session)
            invoice = self._invoice(subscription, "subscription_create", session["amount_total"])
            session |= {"subscription": subscription["id"], "invoice": invoice["id"]}
        return self.event("checkout.session.completed", session)

    def renew(self, subscription_id: str, *, paid: bool = True) -> Thing:
        """Begin the next period; return `invoice.paid` or `invoice.payment_failed`."""
        subscription = self.things[subscription_id]
        item = subscription["items"]["data"][0]
        item["current_period_start"] = item["current_period_end"]
        item["current_period_end"] += 30 * 86_400
        subscription["status"] = "active" if paid else "past_due"
        invoice = self._invoice(subscription, "subscription_cycle", item["amount"], paid=paid)
        return self.event("invoice.paid" if paid else "invoice.payment_failed", invoice)

    def refund(self, intent_id: str, amount: int) -> Thing:
        """Return money by hand; return `charge.refunded`."""
        (charge,) = self.of("charge", payment_intent=intent_id)
        charge["amount_refunded"] += amount
        return self.event("charge.refunded", charge)

    def dispute(self, intent_id: str, amount: int, status: str = "needs_response") -> Thing:
        """Have the buyer's bank take money back; return `charge.dispute.created`."""
        (charge,) = self.of("charge", payment_intent=intent_id)
        dispute = self.add(
            "dispute",
            "dp",
            amount=amount,
            charge=charge["id"],
            payment_intent=intent_id,
            status=status,
            currency=charge["currency"],
            reason="fraudulent",
        )
        return self.event("charge.dispute.created", dispute)

    def close(self, dispute_id: str, status: str) -> Thing:
        self.things[dispute_id]["status"] = status
        return self.event("charge.dispute.closed", self.things[dispute_id])

    def change(self, subscription_id: str, **fields: Any) -> Thing:
        """Change a subscription; return the event of it."""
        self.things[subscription_id] |= fields
        kind = "deleted" if fields.get("status") == "canceled" else "updated"
        return self.event(f"customer.subscription.{kind}", self.things[subscription_id])

    def add_customer(self, *, method: bool = True) -> Thing:
        customer = self.add("customer", "cus", invoice_settings={"default_payment_method": None})
        if method:
            self.add("payment_method", "pm", customer=customer["id"], type="card")
        return customer

    def _paid_intent(self, amount: int, currency: str, customer: str) -> Thing:
        intent = self.add(
            "payment_intent",
            "pi",
            amount=amount,
            amount_received=amount,
            currency=currency,
            customer=customer,
            status="succeeded",
            metadata={},
            last_payment_error=None,
        )
        self.add(
            "charge",
            "ch",
            amount=amount,
            amount_captured=amount,
            amount_refunded=0,
            currency=currency,
            payment_intent=intent["id"],
        )
        return intent

    def _subscribed(self, session: Thing) -> Thing:
        now = int(time.time())
        item = {
            "id": "si_1",
            "object": "subscription_item",
            "current_period_start": now,
            "current_period_end": now + 30 * 86_400,
            "amount": session["amount_total"],
        }
        return self.add(
            "subscription",
            "sub",
            status="active",
            customer=session["customer"],
            metadata=session["subscription_metadata"],
            currency=session["currency"],
            cancel_at=None,
            cancel_at_period_end=False,
            ended_at=None,
            items={"object": "list", "data": [item], "has_more": False, "url": "/v1/subscription_items"},
        )

    def _invoice(self, subscription: Thing, reason: str, amount: int, *, paid: bool = True) -> Thing:
        item = subscription["items"]["data"][0]
        line = {
            "id": "il_1",
            "object": "line_item",
            "amount": amount,
            "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
            "parent": {
                "type": "subscription_item_details",
                "subscription_item_details": {"subscription": subscription["id"], "proration": False},
            },
        }
        invoice = self.add(
            "invoice",
            "in",
            billing_reason=reason,
            currency=subscription["currency"],
            amount_paid=amount if paid else 0,
            amount_due=amount,
            lines={"object": "list", "data": [line], "has_more": False, "url": "/v1/lines"},
            parent={
                "type": "subscription_details",
                "subscription_details": {"subscription": subscription["id"], "metadata": {}},
            },
            # The period before: `lines` say what is paid for.
            period_start=item["current_period_start"] - 30 * 86_400,
            period_end=item["current_period_start"],
        )
        intent = self._paid_intent(amount, subscription["currency"], subscription["customer"])
        self.add(
            "invoice_payment",
            "inpay",
            invoice=invoice["id"],
            status="paid" if paid else "open",
            payment={"type": "payment_intent", "payment_intent": intent["id"]},
        )
        return invoice


def signed(event: Thing | bytes, secret: str = SECRET, at: int | None = None) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a delivery, as Stripe sends it."""
    body = event if isinstance(event, bytes) else json.dumps(event, indent=2).encode()
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at)
    return body, {"Stripe-Signature": header, "Content-Type": "application/json"}


@asynccontextmanager
async def running(port: int = 0) -> AsyncIterator[StripeServer]:
    """Run the server on that port, or on a free one, until the block ends."""
    server = StripeServer()
    runner = web.AppRunner(_app(server), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.running.set()
        await runner.cleanup()


def _app(server: StripeServer) -> web.Application:
    from stripe_routes import ROUTES

    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        params = parsed(await request.text()) if request.method == "POST" else parsed(request.query_string)
        server.requests.append((request.method, request.path, params, dict(request.headers)))
        await server.running.wait()
        if server.fail_with:
            status = server.fail_with.pop(0)
            return web.json_response({"error": {"type": "api_error", "message": "down"}}, status=status)
        status, body = _answer(server, request, params)
        if server.lose_answers:
            server.lose_answers -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response(body, status=status, headers={"Request-Id": "req_1"})

    def _answer(server: StripeServer, request: web.Request, params: Thing) -> tuple[int, Thing]:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            wrong = {"type": "invalid_request_error", "message": "Invalid API Key provided: sk_test_**42"}
            return 401, {"error": wrong}
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        asked = (request.method, request.path, params)
        if key in server.answered:
            before, status, body = server.answered[key]
            if before == asked:
                return status, body
            message = "Keys for idempotent requests can only be used with the same parameters."
            return 400, {"error": {"type": "idempotency_error", "message": message}}
        try:
            status, body = 200, handler_of[request.match_info.route.name](server, request.match_info, params)
        except Fault as fault:
            status, body = fault.status, fault.body
        if key:
            server.answered[key] = (asked, status, json.loads(json.dumps(body)))
        return status, body

    handler_of: dict[str | None, Any] = {}
    for number, (method, path, handler) in enumerate(ROUTES):
        handler_of[f"r{number}"] = handler
        app.router.add_route(method, path, handle, name=f"r{number}")
    return app
