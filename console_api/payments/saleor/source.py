"""From Saleor's webhooks to facts."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from urllib.parse import urlsplit

import aiohttp
import msgspec

from console_api.payments.port import Fact, Line, MoneyReturned, ShopOrderPaid
from console_api.payments.saleor.events import Event, Head, Order
from console_api.payments.saleor.shop_keys import ShopKeys
from console_api.payments.webhooks.models import BadSignature, Told
from kit.clock import Clock
from kit.problems import InvalidRequest
from kit.settings import SaleorSettings

_NAME = "saleor"
_PAID = ("OrderFullyPaid", "OrderPaid")
#: Each carries how much of the order was returned so far.
_RETURNED = {
    "OrderRefunded": "refund",
    "OrderFullyRefunded": "refund",
    "OrderCancelled": "cancelled",
}
_CHARGED = ("FULL", "OVERCHARGED")


class SaleorSource:
    """Verifies the shop's deliveries and reads them."""

    name = _NAME

    def __init__(self, http: aiohttp.ClientSession, settings: SaleorSettings, clock: Clock) -> None:
        self._shop = _host(settings.url)
        self.tenant_id = settings.tenant_id
        self._secret = settings.webhook_secret.get_secret_value().encode()
        self._keys = ShopKeys(http, settings, clock)

    async def verified(self, headers: Mapping[str, str], body: bytes) -> Told:
        """Return what was told. Raises `BadSignature`, also for another shop, and `port.Unavailable`."""
        if not self._from_our_shop(headers) or not await self._signed(headers, body):
            raise BadSignature
        kind = _kind_of(body)
        # The header is not signed; the payload is.
        if headers.get("saleor-event", kind).lower() != kind:
            raise BadSignature
        digest = sha256(kind.encode() + b"\0" + body).hexdigest()
        return Told(event_id=f"{kind}-{digest}", kind=kind, payload=body.decode())

    async def facts(self, told: Told) -> Sequence[Fact]:
        """Return what a delivery means. An order that is paid in part is not paid yet.

        Raises `ValueError` for one that does not have what `order.graphql` asks for.
        """
        if told.kind not in _KINDS:
            return ()
        event = msgspec.json.decode(told.payload, type=Event)
        if event.typename in _PAID and event.order.charge_status in _CHARGED:
            return (self._paid(event),)
        returned = event.order.total_refunded.minor()
        if event.typename in _RETURNED and returned:
            return (
                MoneyReturned(
                    provider=_NAME,
                    payment_ref=event.order.id,
                    returned_minor=returned,
                    reason=_RETURNED[event.typename],
                    at_ms=event.at_ms(),
                ),
            )
        return ()

    def _paid(self, event: Event) -> ShopOrderPaid:
        order = event.order
        email = order.user_email or ""
        org_ref = order.private("runmeter.org") or (order.user.id if order.user else "") or email
        if not org_ref:
            raise ValueError(f"order {order.number} names no buyer")
        tenant_id = order.private("runmeter.tenant") or self.tenant_id
        if not tenant_id:
            raise ValueError("set RUNMETER_SALEOR_TENANT_ID to the tenant that this shop sells for")
        company = order.billing_address.company_name if order.billing_address else ""
        return ShopOrderPaid(
            provider=_NAME,
            tenant_id=tenant_id,
            order_ref=order.id,
            payment_ref=order.id,
            org_ref=org_ref,
            org_name=order.private("runmeter.org_name") or company or email or org_ref,
            buyer_email=email,
            lines=_lines(order),
            at_ms=event.at_ms(),
        )

    def _from_our_shop(self, headers: Mapping[str, str]) -> bool:
        """Return whether the headers name our shop: at least one of them, and none another."""
        api_url, domain = headers.get("saleor-api-url"), headers.get("saleor-domain")
        named = [_host(api_url)] if api_url else []
        named += [_host(f"//{domain}")] if domain else []
        return bool(named) and all(host == self._shop for host in named)

    async def _signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        signature = headers.get("saleor-signature", "")
        if ".." in signature:
            return await self._keys.fits(signature, body)
        if not self._secret:
            return False
        given = headers.get("saleor-hmac-sha256", "") or signature
        wanted = hmac.new(self._secret, body, sha256).hexdigest()
        return hmac.compare_digest(given.lower().encode(), wanted.encode())


def _lines(order: Order) -> tuple[Line, ...]:
    return tuple(
        Line(
            line_ref=line.id,
            plan_code=line.product_sku or "",
            quantity=line.quantity,
            currency=line.total_price.gross.currency.lower(),
            amount_minor=line.total_price.gross.minor(),
        )
        for line in order.lines
    )


def _kind(typename: str) -> str:
    """Return Saleor's name of an event: `OrderFullyPaid` is `order_fully_paid`."""
    return re.sub("(?<!^)(?=[A-Z])", "_", typename).lower()


def _kind_of(body: bytes) -> str:
    """Return what happened, as the payload says. Raises `InvalidRequest` if it does not."""
    try:
        typename = msgspec.json.decode(body, type=Head).typename
    except msgspec.MsgspecError:
        typename = ""
    if not re.fullmatch("[A-Za-z]{1,64}", typename):
        raise InvalidRequest(
            "Set order.graphql as the webhook's subscription query: `__typename` is missing."
        )
    return _kind(typename)


#: The events that `facts` reads.
_KINDS = frozenset(_kind(typename) for typename in (*_PAID, *_RETURNED))


def _host(url: str) -> str:
    """Return host and port of a URL, empty if it is none."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
