"""A Saleor shop: its RSA keys over HTTP, and deliveries signed as Saleor signs them."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

TYPENAMES = {
    "order_fully_paid": "OrderFullyPaid",
    "order_paid": "OrderPaid",
    "order_refunded": "OrderRefunded",
    "order_fully_refunded": "OrderFullyRefunded",
    "order_cancelled": "OrderCancelled",
}


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8))


@dataclass
class Key:
    """An RSA key. Saleor's is called `1`, whichever it is."""

    kid: str = "1"
    private: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    )

    def public(self) -> dict[str, str]:
        numbers = self.private.public_key().public_numbers()
        return {
            "kty": "RSA",
            "key_ops": ["verify"],  # type: ignore[dict-item]
            "n": _number(numbers.n),
            "e": _number(numbers.e),
            "use": "sig",
            "kid": self.kid,
        }

    def detached(self, body: bytes, **header: Any) -> str:
        """Return `header..signature` over the header and the body as it is: as Saleor, without `crit`."""
        usual = {"typ": "JWT", "alg": "RS256", "kid": self.kid, "b64": False}
        protected = _base64(json.dumps({**usual, **header}, separators=(",", ":")).encode())
        signature = self.private.sign(protected.encode() + b"." + body, padding.PKCS1v15(), hashes.SHA256())
        return f"{protected}..{_base64(signature)}"


@dataclass
class Shop:
    url: str = ""
    key: Key = field(default_factory=Key)
    #: How often the public keys were asked for, and what is answered instead of them.
    asked: int = 0
    answer: tuple[int, str] | None = None
    #: While cleared, the shop hangs.
    running: asyncio.Event = field(default_factory=asyncio.Event)

    def order(self, **fields: Any) -> dict[str, Any]:
        """Return a paid order, as `order.graphql` asks for it."""
        return {
            "id": "T3JkZXI6MQ==",
            "number": "1",
            "chargeStatus": "FULL",
            "userEmail": "ada@example.com",
            "user": {"id": "VXNlcjox"},
            "billingAddress": {"companyName": "Analytical Engines"},
            "privateMetadata": [],
            "total": {"gross": _usd(98.0)},
            "totalRefunded": _usd(0.0),
            "lines": [
                {
                    "id": "T3JkZXJMaW5lOjE=",
                    "productSku": "starter",
                    "quantity": 2,
                    "totalPrice": {"gross": _usd(98.0)},
                }
            ],
            **fields,
        }

    def deliver(
        self, event: str, order: dict[str, Any], *, key: Key | None = None, **headers: str | None
    ) -> tuple[bytes, dict[str, str]]:
        """Return the body and the headers of a delivery. A header given as `None` is left out."""
        payload = {
            "__typename": TYPENAMES.get(event, event),
            "issuedAt": "2026-09-21T13:33:20.123456+00:00",
            "order": order,
        }
        body = json.dumps(payload).encode()
        host = self.url.removeprefix("http://")
        sent = {
            "Content-Type": "application/json",
            "Saleor-Event": event,
            "Saleor-Domain": host,
            "Saleor-Api-Url": f"{self.url}/graphql/",
            "Saleor-Signature": (key or self.key).detached(body),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return body, {name: value for name, value in sent.items() if value is not None}


def _usd(amount: float) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def by_secret(body: bytes, secret: str) -> str:
    """Return the signature of a webhook that has a secret key."""
    return hmac.new(secret.encode(), body, sha256).hexdigest()


@asynccontextmanager
async def running(port: int = 0) -> AsyncIterator[Shop]:
    """Serve a shop's public keys on that port, or on a free one, until the block ends."""
    shop = Shop()
    shop.running.set()

    async def keys(_: web.Request) -> web.Response:
        shop.asked += 1
        await shop.running.wait()
        if shop.answer is not None:
            return web.Response(status=shop.answer[0], text=shop.answer[1])
        return web.json_response({"keys": [shop.key.public()]})

    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", keys)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield shop
    finally:
        shop.running.set()
        await runner.cleanup()
