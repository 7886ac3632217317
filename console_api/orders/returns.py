"""Money that went back takes its credits along, and brings them back if it returns.

What is taken is a share: of the credits that a payment paid for, as much as of its money was returned. That
is recomputed from what stands now, so it may be asked for at any time, and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.credits import service as credits
from console_api.control.directory import repository as directory_rows
from console_api.control.directory import service as directory
from console_api.database.tables import Order, Payment
from console_api.orders import repository
from console_api.payments.port import MoneyReturned, Outcome
from console_api.subscriptions import repository as subscription_rows
from console_api.subscriptions import service as subscriptions
from console_api.topup import disputes
from schemas.directory import InstanceStatus
from schemas.events import GrantEvent

#: Separates a payment's reference from the part of it that one order is.
_PART = "#"
ACTOR = "payments"


def part_of(payment_ref: str, part: str) -> str:
    """Return the reference of a part of a payment that pays several orders."""
    return f"{payment_ref}{_PART}{part}"[:256]


async def apply(session: AsyncSession, fact: MoneyReturned, now_ms: int) -> Outcome:
    """Take back, or give back, what a payment's returned money bought."""
    parts = await repository.payments_for(session, fact.provider, fact.payment_ref, _PART)
    if not parts:
        return "early"
    total = sum(part.amount_minor for part in parts)
    for part in parts:
        if fact.at_ms <= part.returned_at_ms:
            continue
        share = part.amount_minor * fact.returned_minor // total if total else 0
        before, part.refunded_minor = part.refunded_minor, min(share, part.amount_minor)
        part.returned_at_ms, part.updated_at_ms = fact.at_ms, now_ms
        part.status = "refunded" if part.refunded_minor == part.amount_minor else "succeeded"
        if "dispute" in fact.reason and part.refunded_minor > before:
            await disputes.switch_off(session, part.org_id, part.payment_id, now_ms)
        if part.surplus:
            continue
        order = await repository.order(session, part.order_id, lock=True) if part.order_id else None
        other = await _paid_again(session, order, part) if order is not None else None
        if other is not None:
            await settle(session, other, fact.reason, now_ms)
            continue
        await settle(session, part, fact.reason, now_ms)
        if order is not None:
            await _order_follows(session, order, part, fact.reason, now_ms)
    return "applied"


async def _paid_again(session: AsyncSession, order: Order, part: Payment) -> Payment | None:
    """Let a surplus payment take the place of one that is gone: who paid twice may be given either back."""
    if part.status != "refunded" or order.status == "refunded":
        return None
    for other in await repository.payments_of(session, order.order_id):
        if other.surplus and not other.refunded_minor and other.amount_minor >= part.amount_minor:
            for name in ("subscription_id", "period_start_ms", "period_end_ms", "clawed_micro"):
                setattr(other, name, getattr(part, name))
            part.surplus, other.surplus, part.clawed_micro = True, False, 0
            return other
    return None


async def settle(session: AsyncSession, paid: Payment, reason: str, now_ms: int) -> None:
    """Claw back, or restore, the difference between what is to be gone and what is."""
    grants = await repository.grants_for(session, paid, lock=True)
    bought = sum(grant.amount_micro for grant in grants if grant.kind != "correction")
    wanted = bought * paid.refunded_minor // paid.amount_minor if paid.amount_minor else 0
    missing = wanted - paid.clawed_micro
    if missing < 0:
        await credits.issue(
            session,
            GrantEvent(
                grant_id=f"restored/{paid.payment_id}/{paid.returned_at_ms}",
                tenant_id=paid.tenant_id,
                org_id=paid.org_id,
                kind="correction",
                amount_micro=-missing,
                reason="the money came back",
                occurred_at_ms=now_ms,
            ),
            actor=ACTOR,
            at_ms=now_ms,
        )
        paid.clawed_micro = wanted
        return
    for grant in grants:
        taken = min(missing, grant.amount_micro - grant.refunded_micro)
        if taken <= 0:
            continue
        named = f"{paid.payment_id}/{paid.returned_at_ms}/{grant.grant_id}"
        await credits.refund(
            session,
            grant.grant_id,
            f"returned/{sha256(named.encode()).hexdigest()[:40]}",
            taken,
            actor=ACTOR,
            reason=reason,
            at_ms=now_ms,
        )
        paid.clawed_micro += taken
        missing -= taken


async def settle_order(session: AsyncSession, order: Order, now_ms: int) -> None:
    """As `settle`, for credits that are given after some of their money went back."""
    parts: Sequence[Payment] = await repository.payments_of(session, order.order_id)
    for paid in parts:
        if paid.refunded_minor:
            await settle(session, paid, "returned before", now_ms)


async def _order_follows(
    session: AsyncSession, order: Order, paid: Payment, reason: str, now_ms: int
) -> None:
    """An order whose money is all gone stops: for good after a refund, for now during a dispute."""
    gone = paid.status == "refunded"
    if gone and order.status in ("paid", "provisioned", "failed"):
        order.status, order.updated_at_ms = "refunded", now_ms
    elif not gone and order.status == "refunded":
        order.status = "provisioned" if order.step == "done" else "paid"
        order.next_try_at_ms = order.updated_at_ms = now_ms
    if gone and reason == "refund":
        await _subscription_ends(session, order, now_ms)
    instance = await directory_rows.instance_of_order(session, order.order_id)
    if instance is None:
        return
    becomes: dict[tuple[bool, str], InstanceStatus] = {
        (True, "active"): "ended" if reason == "refund" else "suspended",
        (True, "suspended"): "ended" if reason == "refund" else "suspended",
        (True, "provisioning"): "ended" if reason == "refund" else "provisioning",
        (False, "suspended"): "active",
    }
    wanted = becomes.get((gone, instance.status))
    if wanted is not None:
        await directory.set_status(
            session, instance.instance_id, wanted, actor=ACTOR, at_ms=now_ms, why="dispute"
        )


async def _subscription_ends(session: AsyncSession, order: Order, now_ms: int) -> None:
    """End what a refunded order began, also with a provider that collects before it was provisioned."""
    row = await subscription_rows.of_order(session, order.order_id, lock=True)
    if row is None and order.subscription_ref:
        row = await subscriptions.begin(session, order, None, now_ms)
    if row is not None:
        subscriptions.end(session, row, now_ms)
