"""Giving and taking back credits. Each call is a part of the caller's transaction, and idempotent.

A grant and its event are written together, so the wallet hears of each that is recorded and of no other.
"""

from __future__ import annotations

from typing import cast

from msgspec import convert, to_builtins
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control import audit
from console_api.control.credits import repository
from console_api.control.errors import Conflict
from console_api.control.outbox import service as outbox
from console_api.database.tables import Grant
from kit.problems import NotFound
from metering import plans, wallet
from metering.plans import Allowance
from schemas import topics
from schemas.events import GrantAction, GrantEvent, GrantKind


async def issue(
    session: AsyncSession,
    event: GrantEvent,
    *,
    actor: str,
    at_ms: int,
    subscription_id: str | None = None,
    period: str | None = None,
    order_id: str | None = None,
) -> bool:
    """Give credits once; return `False` if the grant, its period's or its order's was given before.

    `event.grant_id` becomes the ledger entry's id. Raises `ValueError` for a grant that makes no sense.
    """
    _check(event)
    new = await repository.add_grant(
        session, event, subscription_id=subscription_id, period=period, order_id=order_id, at_ms=at_ms
    )
    if not new:
        return False
    await outbox.send(session, topics.GRANTS, event.org_id, event.grant_id, event, at_ms=at_ms)
    audit.record(
        session,
        tenant_id=event.tenant_id,
        org_id=event.org_id,
        actor=actor,
        action="grant.issue",
        target=("grant", event.grant_id),
        at_ms=at_ms,
        kind=event.kind,
        amount_micro=event.amount_micro,
    )
    return True


async def issue_due(
    session: AsyncSession,
    subscription_id: str,
    allowance: Allowance,
    until_ms: int,
    *,
    actor: str,
    now_ms: int,
) -> int:
    """Give what a subscription's periods up to `until_ms` are due; return how many grants were new.

    Raises `NotFound` for a subscription that is not there.
    """
    row = await repository.locked_subscription(session, subscription_id)
    if row is None:
        raise NotFound("There is no such subscription.")
    span = plans.Subscription(
        subscription_id=row.subscription_id, started_at_ms=row.started_at_ms, ended_at_ms=row.ended_at_ms
    )
    if until_ms <= row.granted_until_ms:
        return 0
    given = 0
    for grant in plans.grants_due(span, allowance, row.granted_until_ms, until_ms):
        event = _event_of(grant, row.tenant_id, row.org_id, now_ms)
        given += await issue(
            session,
            event,
            actor=actor,
            at_ms=now_ms,
            subscription_id=subscription_id,
            period=grant.grant_id.rpartition("/")[2],
        )
    await repository.granted_until(session, subscription_id, until_ms)
    return given


async def void(
    session: AsyncSession, grant_id: str, command_id: str, *, actor: str, reason: str, at_ms: int
) -> bool:
    """Take away what is left of a grant; return `False` if the command was given before."""
    grant = await _locked(session, grant_id)
    return await _command(session, grant, "void", command_id, actor=actor, reason=reason, at_ms=at_ms)


async def refund(
    session: AsyncSession,
    grant_id: str,
    command_id: str,
    amount_micro: int,
    *,
    actor: str,
    reason: str,
    at_ms: int,
) -> bool:
    """Claw back credits because their money was returned; return `False` if that was commanded before.

    Raises `Conflict` when more would be returned than was given, `NotFound` for a grant that is not there.
    """
    grant = await _locked(session, grant_id)
    if await repository.has_command(session, command_id):
        return False
    if not 0 < amount_micro <= grant.amount_micro - grant.refunded_micro:
        raise Conflict("A refund is of more than nothing, and of at most what was granted.")
    grant.refunded_micro += amount_micro
    return await _command(
        session, grant, "refund", command_id, amount_micro, actor=actor, reason=reason, at_ms=at_ms
    )


async def _locked(session: AsyncSession, grant_id: str) -> Grant:
    grant = await repository.locked_grant(session, grant_id)
    if grant is None:
        raise NotFound("There is no such grant.")
    return grant


async def _command(
    session: AsyncSession,
    grant: Grant,
    action: GrantAction,
    command_id: str,
    amount_micro: int = 0,
    *,
    actor: str,
    reason: str,
    at_ms: int,
) -> bool:
    new = await repository.add_command(
        session,
        command_id=command_id,
        grant_id=grant.grant_id,
        action=action,
        amount_micro=amount_micro,
        reason=reason,
        at_ms=at_ms,
    )
    if not new:
        return False
    if action == "void":
        grant.voided_at_ms = grant.voided_at_ms or at_ms
    event = GrantEvent(
        grant_id=grant.grant_id,
        tenant_id=grant.tenant_id,
        org_id=grant.org_id,
        kind=cast(GrantKind, grant.kind),
        amount_micro=amount_micro,
        reason=reason,
        occurred_at_ms=at_ms,
        action=action,
        command_id=command_id,
    )
    await outbox.send(session, topics.GRANTS, grant.org_id, command_id, event, at_ms=at_ms)
    audit.record(
        session,
        tenant_id=grant.tenant_id,
        org_id=grant.org_id,
        actor=actor,
        action=f"grant.{action}",
        target=("grant", grant.grant_id),
        at_ms=at_ms,
        command_id=command_id,
        amount_micro=amount_micro,
    )
    return True


def _event_of(grant: wallet.Grant, tenant_id: str, org_id: str, at_ms: int) -> GrantEvent:
    return GrantEvent(
        grant_id=grant.grant_id,
        tenant_id=tenant_id,
        org_id=org_id,
        kind=grant.kind,
        amount_micro=grant.amount_micro,
        reason="credits of the plan",
        occurred_at_ms=at_ms,
        priority=grant.priority,
        effective_at_ms=grant.effective_at_ms,
        expires_at_ms=grant.expires_at_ms,
        rollover_cap_micro=grant.rollover_cap_micro,
        rollover_ms=grant.rollover_ms,
    )


def _check(event: GrantEvent) -> None:
    """Refuse here what the wallet would refuse, and what its consumers could not decode."""
    if event.action != "issue" or event.command_id:
        raise ValueError("only an `issue` gives credits, and its command is its grant")
    convert(to_builtins(event), GrantEvent)
    wallet.Grant(
        event.grant_id,
        event.kind,
        event.amount_micro,
        event.priority,
        event.effective_at_ms,
        event.expires_at_ms,
        event.rollover_cap_micro,
        event.rollover_ms,
    )
