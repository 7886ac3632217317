"""Buys. One order at a time: it is written down before money is asked for, and asked for under its name, so a
crash in between asks again and is charged once.

A slow method's outcome follows as a fact. Until then the order names its payment and nothing is asked for: a
provider keeps the name of a request for a day, a bank may take many.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts.telling import Fact, tell
from console_api.control.outbox.relay import OUTAGES
from console_api.control.plane import ControlPlane
from console_api.database.tables import Order, TopUp
from console_api.orders import facts
from console_api.orders import repository as orders
from console_api.orders.service import purchase_of
from console_api.payments import port
from console_api.payments.port import Charged, OrderAbandoned, OrderPaid, Purchase
from console_api.payments.providers import Providers
from console_api.topup import repository, service
from kit.clock import new_id
from kit.problems import Problem
from kit.settings import PaymentsSettings
from metering.windows import DAY_MS, start_of

log = logging.getLogger(__name__)

#: Returns what an org's wallet has available, in micro-credits.
Available = Callable[[str], Awaitable[int]]

_PAGE = 200
_EVERY_S = 5.0
_AGAIN_MS = 60_000
#: After a decline it waits this long, twice as long after the next, and gives up after so many in a row.
_DECLINED_MS = 600_000
MAX_DECLINES = 4
#: An hour less than a provider keeps the name of a request for.
_NAMED_MS = 23 * 3_600_000


class TopUps:
    """Looks at the wallets of orgs that asked for it."""

    def __init__(
        self, plane: ControlPlane, providers: Providers, settings: PaymentsSettings, available: Available
    ) -> None:
        self._plane = plane
        self._providers = providers
        self._settings = settings
        self._available = available

    async def run(self) -> None:
        """Look, and wait, for ever."""
        while True:
            try:
                await self.turn()
            except OUTAGES as error:
                log.warning("top-ups wait", extra={"error": repr(error)})
            await asyncio.sleep(_EVERY_S)

    async def turn(self) -> int:
        """Look at every wallet that is due; return for how many was bought. Raises one of `OUTAGES`."""
        bought, after = 0, ""
        while True:
            async with self._plane.database.reading() as session:
                found = await repository.due(session, self._plane.clock(), after, _PAGE)
            for org_id in found:
                bought += await self._look(org_id)
            if len(found) < _PAGE:
                return bought
            after = found[-1]

    async def _look(self, org_id: str) -> bool:
        available = await self._available(org_id)
        purchase = await self._due(org_id, available)
        if purchase is None:
            return False
        try:
            provider = self._providers.get(await self._provider_of(org_id))
            charged = await provider.charge(purchase)
        except port.Unavailable as error:
            log.warning("a top-up could not be asked for", extra={"org_id": org_id, "error": str(error)})
            await self._note(org_id, "the payment provider is away", _AGAIN_MS)
            return False
        except (port.Refused, Problem) as error:
            charged = Charged(payment_ref="", status="declined", reason=str(error))
        await self._settle(org_id, purchase, charged)
        return charged.status == "succeeded"

    async def _due(self, org_id: str, available: int) -> Purchase | None:
        """Return what to charge for now: the order under way, or a new one if the wallet is low."""
        async with self._plane.database.writing() as session:
            row = await repository.one(session, org_id, lock=True)
            now = self._plane.clock()
            if row is None or not row.enabled or row.next_try_at_ms > now:
                return None
            plan = await repository.plan(session, row.plan_id)
            latest = await orders.order(session, row.order_id, lock=True) if row.order_id else None
            if latest is not None and latest.status in ("pending", "cancelled"):
                ask = await _to_be_asked(session, row, latest, now)
                return await purchase_of(session, latest, plan, self._settings) if ask else None
            if latest is not None and latest.status != "refunded":
                row.declines, row.error = 0, ""
            if available >= row.threshold_micro or (latest is not None and latest.status == "paid"):
                return None
            price = next((p for p in plan.prices if (p.currency, p.every) == (row.currency, "once")), None)
            if price is None or plan.status != "active":
                row.enabled, row.error = False, "the pack is no longer on offer"
                return None
            spent = await service.spent_this_month(session, org_id, now)
            if spent + price.amount_minor > row.ceiling_minor:
                row.error = "the month's ceiling is reached"
                row.next_try_at_ms = start_of("month", start_of("month", now) + 32 * DAY_MS)
                return None
            order = _ordered(row, price.amount_minor, now)
            session.add(order)
            await session.flush()
            row.order_id, row.attempts, row.error = order.order_id, row.attempts + 1, ""
            return await purchase_of(session, order, plan, self._settings)

    async def _provider_of(self, org_id: str) -> str:
        async with self._plane.database.reading() as session:
            row = await repository.one(session, org_id)
            return row.provider if row is not None else ""

    async def _settle(self, org_id: str, purchase: Purchase, charged: Charged) -> None:
        async with self._plane.database.writing() as session:
            row = await repository.one(session, org_id, lock=True)
            assert row is not None
            now = self._plane.clock()
            order = await orders.order(session, purchase.order_id, lock=True)
            assert order is not None
            if charged.status == "declined":
                await _declined(session, row, order, charged.reason, now)
                return
            row.next_try_at_ms = now + row.cool_off_s * 1_000
            if charged.status == "pending":
                order.provider_ref = charged.payment_ref
            else:
                row.declines = 0
                paid = OrderPaid(
                    provider=row.provider,
                    order_id=purchase.order_id,
                    payment_ref=charged.payment_ref,
                    currency=purchase.currency,
                    amount_minor=purchase.amount_minor,
                    at_ms=now,
                )
                await facts.apply(session, paid, now_ms=now)

    async def _note(self, org_id: str, error: str, wait_ms: int) -> None:
        async with self._plane.database.writing() as session:
            row = await repository.one(session, org_id, lock=True)
            if row is not None:
                row.error, row.next_try_at_ms = error, self._plane.clock() + wait_ms


async def _to_be_asked(session: AsyncSession, row: TopUp, order: Order, now_ms: int) -> bool:
    """Return whether to ask for the money of an order not yet paid; what failed meanwhile was declined."""
    if order.status == "cancelled":
        await _declined(session, row, order, order.error or "the order was cancelled", now_ms)
    elif order.provider_ref:
        row.error = f"waits for the payment of order {order.order_id}"
    elif order.created_at_ms + _NAMED_MS <= now_ms:
        await _declined(session, row, order, "the payment provider did not answer for a day", now_ms)
    else:
        return True
    return False


async def _declined(session: AsyncSession, row: TopUp, order: Order, reason: str, now_ms: int) -> None:
    """Withdraw an order that was not paid, once, and wait longer than the last time, or give up."""
    gone = OrderAbandoned(provider=row.provider, order_id=order.order_id, reason=reason, at_ms=now_ms)
    await facts.apply(session, gone, now_ms=now_ms)
    row.order_id = None
    row.declines += 1
    row.error = f"declined: {reason}"[:500]
    row.next_try_at_ms = now_ms + (_DECLINED_MS << (row.declines - 1))
    if row.declines >= MAX_DECLINES:
        row.enabled = False
        row.error = f"switched off after {row.declines} declines: {reason}"[:500]
    await tell(session, _told(row, reason, now_ms), now_ms)


def _told(row: TopUp, reason: str, now_ms: int) -> Fact:
    """Return what the org hears of a decline: once a day, and when no more is tried."""
    what = "topup_declined" if row.enabled else "topup_off"
    return Fact(
        row.tenant_id,
        row.org_id,
        "payment",
        subject="topup",
        threshold=what,
        period=str(start_of("day", now_ms)),
        occurred_at_ms=now_ms,
        details={"what": what, "reason": reason[:300]},
    )


def _ordered(row: TopUp, amount_minor: int, now_ms: int) -> Order:
    return Order(
        order_id=new_id("ord"),
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        plan_id=row.plan_id,
        idempotency_key=f"{service.KEY}{row.org_id}/{row.attempts + 1}",
        provider=row.provider,
        provider_ref=None,
        status="pending",
        currency=row.currency,
        amount_minor=amount_minor,
        every="once",
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
