"""What `order.graphql` makes Saleor send. Amounts are decimal numbers in the currency's major unit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from msgspec import Struct

#: Currencies whose minor unit is not a hundredth (ISO 4217).
_WHOLE = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF")
) | {"XOF", "XPF"}
_THOUSANDTHS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
_MAX_MINOR = 2**53


class Money(Struct, frozen=True):
    amount: Decimal
    currency: str

    def minor(self) -> int:
        """Return the amount in minor units. Raises `ValueError` if it is not a whole number of them."""
        code = self.currency.upper()
        scaled = self.amount.scaleb(0 if code in _WHOLE else 3 if code in _THOUSANDTHS else 2)
        if not 0 <= scaled <= _MAX_MINOR or scaled != scaled.to_integral_value():
            raise ValueError(f"{self.amount} is no amount of {self.currency}")
        return int(scaled)


class Taxed(Struct, frozen=True):
    gross: Money


class Pair(Struct, frozen=True):
    key: str
    value: str


class User(Struct, frozen=True):
    id: str


class Address(Struct, frozen=True, rename="camel"):
    company_name: str


class OrderLine(Struct, frozen=True, rename="camel"):
    """`product_sku` is null for a variant without one."""

    id: str
    product_sku: str | None
    quantity: int
    total_price: Taxed


class Order(Struct, frozen=True, rename="camel"):
    """`charge_status`: `NONE`, `PARTIAL`, `FULL` or `OVERCHARGED`."""

    id: str
    number: str
    charge_status: str
    user_email: str | None
    user: User | None
    billing_address: Address | None
    private_metadata: list[Pair]
    total: Taxed
    total_refunded: Money
    lines: list[OrderLine]

    def private(self, key: str) -> str:
        """Return a value that only the shop's staff and apps can have written, or empty."""
        return next((pair.value for pair in self.private_metadata if pair.key == key), "")


class Head(Struct, frozen=True, rename={"typename": "__typename"}):
    """What every delivery begins with."""

    typename: str


class Event(Struct, frozen=True, rename={"typename": "__typename", "issued_at": "issuedAt"}):
    """A delivery about an order."""

    typename: str
    issued_at: datetime
    order: Order

    def at_ms(self) -> int:
        return int(self.issued_at.timestamp() * 1000)
