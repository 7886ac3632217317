"""A wallet that runs low, and a bank that answers as a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orders_rig import DAY_MS, PACK_PRICE, Shop

from console_api.payments import port
from console_api.payments.dummy import OfflineProvider
from console_api.payments.port import Charged, Purchase
from console_api.topup import service
from console_api.topup.buyer import TopUps
from console_api.topup.models import TopUpTerms, TopUpView
from kit.settings import PaymentsSettings

TERMS: dict[str, Any] = {
    "enabled": True,
    "threshold_micro": 5_000_000,
    "plan": "pack",
    "currency": "usd",
    "provider": "dummy",
    "ceiling_minor": 3 * PACK_PRICE,
    "cool_off_s": 600,
}


@dataclass
class Bank(OfflineProvider):
    """A provider whose bank answers as a test says. What was asked under a name before is answered alike, for
    a day; what it was asked for under another, or later, it charges.
    """

    clock: Callable[[], int]
    name: str = "dummy"
    says: list[Charged | Exception] = field(default_factory=list)
    asked: list[Purchase] = field(default_factory=list)
    answered: dict[str, tuple[int, Charged]] = field(default_factory=dict)
    #: Answers are lost on the way.
    forgets_to_say: bool = False
    charges: list[str] = field(default_factory=list)

    async def charge(self, purchase: Purchase) -> Charged:
        self.asked.append(purchase)
        at_ms, answer = self.answered.get(purchase.order_id, (0, None))
        if answer is not None and self.clock() < at_ms + DAY_MS:
            return answer
        said = (
            self.says.pop(0)
            if self.says
            else Charged(payment_ref=f"pi_{len(self.asked)}", status="succeeded")
        )
        if isinstance(said, Exception):
            raise said
        if said.status != "declined":
            self.charges.append(said.payment_ref)
        self.answered[purchase.order_id] = (self.clock(), said)
        if self.forgets_to_say:
            raise port.Unavailable("the answer was lost")
        return said


@dataclass
class Wallets:
    shop: Shop
    bank: Bank
    available: int = 0

    async def of(self, org_id: str) -> int:
        return self.available

    async def turn(self, after_s: int = 0) -> int:
        self.shop.world.clock.at_ms += after_s * 1_000
        buyer = TopUps(self.shop.plane, self.shop.providers, PaymentsSettings(), self.of)
        bought = await buyer.turn()
        await self.shop.provision()
        return bought

    async def put(self, expected: int = 0, **fields: Any) -> TopUpView:
        async with self.shop.world.database.writing() as session:
            return await service.write(
                session,
                self.shop.caller(),
                self.shop.providers,
                TopUpTerms(**{**TERMS, **fields}),
                expected,
                now_ms=self.shop.world.clock(),
            )

    async def view(self) -> TopUpView:
        async with self.shop.world.database.reading() as session:
            return await service.read(session, self.shop.caller(), self.shop.world.clock())
