"""What operators give and take back. The rules of credits are `control.credits`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control.credits import service as credits
from console_api.control.directory import repository as directory
from console_api.control.errors import Conflict
from console_api.database.tables import Grant, GrantCommand
from console_api.grants import repository
from console_api.grants.models import CommandView, GrantPage, GrantTerms, GrantView, RefundTerms, VoidTerms
from console_api.idempotency import id_of
from kit.problems import InvalidRequest, NotFound
from schemas.events import GrantAction, GrantEvent, GrantKind

_TERMS = ("org_id", "kind", "amount_micro", "priority", "expires_at_ms", "reason")


async def page(
    session: AsyncSession, principal: Principal, org_id: str, limit: int, cursor: str | None
) -> GrantPage:
    """Return a page of the tenant's grants, or one org's."""
    _operators_only(principal, "To see what was granted")
    before = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.page(session, principal.tenant_id, org_id, before, limit + 1)
    shown = await _views(session, rows[:limit])
    last = shown[-1] if len(rows) > limit else None
    more = cursors.encode((last.created_at_ms, last.grant_id)) if last else None
    return GrantPage(grants=shown, next_cursor=more)


async def give(
    session: AsyncSession, principal: Principal, terms: GrantTerms, *, key: str, now_ms: int
) -> GrantView:
    """Give credits once. Raises `NotFound` for the org, `InvalidRequest`, `Conflict` for another's key."""
    _operators_only(principal, "To give credits")
    if await directory.org(session, principal.tenant_id, terms.org_id) is None:
        raise NotFound("There is no such org; list them at /api/v1/orgs.")
    grant_id = id_of("grant", principal.tenant_id, key)
    known = await repository.one(session, principal.tenant_id, grant_id)
    if known is not None:
        return await _same(session, known, terms)
    if terms.expires_at_ms and terms.expires_at_ms <= max(now_ms, terms.effective_at_ms):
        raise InvalidRequest("These credits would have expired before anybody could use them.")
    event = GrantEvent(
        grant_id=grant_id,
        tenant_id=principal.tenant_id,
        org_id=terms.org_id,
        kind=terms.kind,
        amount_micro=terms.amount_micro,
        reason=terms.reason,
        occurred_at_ms=now_ms,
        priority=terms.priority,
        effective_at_ms=terms.effective_at_ms or now_ms,
        expires_at_ms=terms.expires_at_ms,
    )
    await credits.issue(session, event, actor=principal.subject, at_ms=now_ms)
    return await _read(session, principal, grant_id)


async def void(
    session: AsyncSession, principal: Principal, grant_id: str, terms: VoidTerms, *, key: str, now_ms: int
) -> GrantView:
    """Take away what is left of a grant. Raises `NotFound`."""
    _operators_only(principal, "To void a grant")
    await _read(session, principal, grant_id)
    command_id = id_of("void", principal.tenant_id, key)
    await credits.void(
        session, grant_id, command_id, actor=principal.subject, reason=terms.reason, at_ms=now_ms
    )
    return await _read(session, principal, grant_id)


async def refund(
    session: AsyncSession, principal: Principal, grant_id: str, terms: RefundTerms, *, key: str, now_ms: int
) -> GrantView:
    """Take back a part of a grant. Raises `NotFound`, `Conflict` for more than is left to be taken back."""
    _operators_only(principal, "To take credits back")
    await _read(session, principal, grant_id)
    await credits.refund(
        session,
        grant_id,
        id_of("refund", principal.tenant_id, key),
        terms.amount_micro,
        actor=principal.subject,
        reason=terms.reason,
        at_ms=now_ms,
    )
    return await _read(session, principal, grant_id)


def _operators_only(principal: Principal, to_do: str) -> None:
    roles.require(principal, "operator", to_do)


async def _same(session: AsyncSession, known: Row[Grant, str], terms: GrantTerms) -> GrantView:
    grant = known[0]
    if any(getattr(grant, name) != getattr(terms, name) for name in _TERMS):
        raise Conflict("That Idempotency-Key was used for another grant; use a new one.")
    return (await _views(session, [known]))[0]


async def _read(session: AsyncSession, principal: Principal, grant_id: str) -> GrantView:
    row = await repository.one(session, principal.tenant_id, grant_id)
    if row is None:
        raise NotFound("There is no such grant; list them at /api/v1/grants.")
    return (await _views(session, [row]))[0]


async def _views(session: AsyncSession, rows: Sequence[Row[Grant, str]]) -> list[GrantView]:
    done = await repository.commands(session, [row[0].grant_id for row in rows])
    return [_view(*row, done.get(row[0].grant_id, ())) for row in rows]


def _view(grant: Grant, org_name: str, commands: Sequence[GrantCommand]) -> GrantView:
    return GrantView(
        grant_id=grant.grant_id,
        org_id=grant.org_id,
        org_name=org_name,
        kind=cast(GrantKind, grant.kind),
        amount_micro=grant.amount_micro,
        refunded_micro=grant.refunded_micro,
        priority=grant.priority,
        effective_at_ms=grant.effective_at_ms,
        expires_at_ms=grant.expires_at_ms,
        voided_at_ms=grant.voided_at_ms,
        reason=grant.reason,
        created_at_ms=grant.created_at_ms,
        commands=[_command(command) for command in commands],
    )


def _command(command: GrantCommand) -> CommandView:
    return CommandView(
        command_id=command.command_id,
        action=cast(GrantAction, command.action),
        amount_micro=command.amount_micro,
        reason=command.reason,
        created_at_ms=command.created_at_ms,
    )
