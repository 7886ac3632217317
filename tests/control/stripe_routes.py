"""What each endpoint of the Stripe server does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from stripe_server import Fault, StripeServer, Thing

Path = Mapping[str, str]


def _one(server: StripeServer, kind: str, of: str) -> Thing:
    thing = server.things.get(of)
    if thing is None or thing["object"] != kind:
        raise Fault(
            404,
            type="invalid_request_error",
            code="resource_missing",
            message=f"No such {kind}: '{of}'",
            param="id",
        )
    return thing


def _page(things: list[Thing], params: Thing) -> Thing:
    limit = int(params.get("limit", 10))
    return {"object": "list", "data": things[:limit], "has_more": len(things) > limit, "url": "/v1/x"}


def _required(params: Thing, *names: str) -> None:
    for name in names:
        if name not in params:
            message = f"Missing required param: {name}."
            raise Fault(400, type="invalid_request_error", message=message, param=name)


def add_session(server: StripeServer, path: Path, params: Thing) -> Thing:
    _required(params, "mode", "line_items")
    (item,) = params["line_items"]
    once = params["mode"] == "payment"
    if once == ("recurring" in item.get("price_data", {})) and "price" not in item:
        message = "You must provide at least one recurring price in `subscription` mode."
        raise Fault(400, type="invalid_request_error", message=message)
    if "customer_creation" in params and not once:
        message = "`customer_creation` can only be used in `payment` mode."
        raise Fault(400, type="invalid_request_error", message=message)
    price = item.get("price_data") or server.things[item["price"]]
    session = server.add(
        "checkout.session",
        "cs_test",
        mode=params["mode"],
        status="open",
        payment_status="unpaid",
        metadata=params.get("metadata", {}),
        client_reference_id=params.get("client_reference_id"),
        currency=price["currency"],
        amount_total=int(price["unit_amount"]) * int(item["quantity"]),
        customer=params.get("customer"),
        customer_email=params.get("customer_email"),
        subscription=None,
        payment_intent=None,
        invoice=None,
        expires_at=int(time.time()) + 86_400,
        success_url=params.get("success_url"),
        subscription_metadata=params.get("subscription_data", {}).get("metadata", {}),
    )
    session["url"] = f"https://checkout.example.com/{session['id']}"
    return session


def add_intent(server: StripeServer, path: Path, params: Thing) -> Thing:
    _required(params, "amount", "currency", "customer", "payment_method")
    intent = server.add(
        "payment_intent",
        "pi",
        amount=int(params["amount"]),
        amount_received=0,
        currency=params["currency"],
        customer=params["customer"],
        metadata=params.get("metadata", {}),
        status="requires_payment_method",
        last_payment_error=None,
    )
    if server.decline:
        code, decline_code, message = server.decline
        error = {"type": "card_error", "code": code, "decline_code": decline_code, "message": message}
        intent["last_payment_error"] = error
        raise Fault(402, **error, payment_intent=intent)
    intent["status"] = server.next_status
    if server.next_status == "succeeded":
        intent["amount_received"] = intent["amount"]
    return intent


def add_refund(server: StripeServer, path: Path, params: Thing) -> Thing:
    amount, intent = int(params["amount"]), params["payment_intent"]
    (charge,) = server.of("charge", payment_intent=intent)
    left = charge["amount_captured"] - charge["amount_refunded"]
    if amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise Fault(400, type="invalid_request_error", message=message)
    charge["amount_refunded"] += amount
    return server.add(
        "refund", "re", amount=amount, charge=charge["id"], payment_intent=params["payment_intent"]
    )


def update_subscription(server: StripeServer, path: Path, params: Thing) -> Thing:
    subscription = _one(server, "subscription", path["of"])
    if params.get("cancel_at_period_end") == "true":
        end = subscription["items"]["data"][0]["current_period_end"]
        subscription |= {"cancel_at_period_end": True, "cancel_at": end}
    return subscription


def cancel_subscription(server: StripeServer, path: Path, params: Thing) -> Thing:
    subscription = _one(server, "subscription", path["of"])
    if subscription["status"] == "canceled":
        raise Fault(
            404, type="invalid_request_error", code="resource_missing", message="No such subscription"
        )
    subscription |= {"status": "canceled", "ended_at": int(time.time())}
    return subscription


def add_portal(server: StripeServer, path: Path, params: Thing) -> Thing:
    _one(server, "customer", params["customer"])
    return server.add(
        "billing_portal.session",
        "bps",
        customer=params["customer"],
        return_url=params["return_url"],
        url="https://billing.example.com/p/session",
    )


def _get(kind: str) -> Any:
    return lambda server, path, params: _one(server, kind, path["of"])


def _list(kind: str, *filters: str) -> Any:
    def listed(server: StripeServer, path: Path, params: Thing) -> Thing:
        wanted = {name: params[name] for name in filters if name in params}
        return _page(server.of(kind, **wanted), params)

    return listed


def methods(server: StripeServer, path: Path, params: Thing) -> Thing:
    return _page(server.of("payment_method", customer=path["of"]), params)


ROUTES = (
    ("POST", "/v1/checkout/sessions", add_session),
    ("POST", "/v1/payment_intents", add_intent),
    ("POST", "/v1/refunds", add_refund),
    ("GET", "/v1/subscriptions/{of}", _get("subscription")),
    ("POST", "/v1/subscriptions/{of}", update_subscription),
    ("DELETE", "/v1/subscriptions/{of}", cancel_subscription),
    ("POST", "/v1/billing_portal/sessions", add_portal),
    ("GET", "/v1/customers/{of}", _get("customer")),
    ("GET", "/v1/customers/{of}/payment_methods", methods),
    ("GET", "/v1/charges", _list("charge", "payment_intent")),
    ("GET", "/v1/charges/{of}", _get("charge")),
    ("GET", "/v1/disputes", _list("dispute", "payment_intent", "charge")),
    ("GET", "/v1/invoice_payments", _list("invoice_payment", "invoice", "status")),
)
