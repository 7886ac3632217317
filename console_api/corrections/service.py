"""What operators correct. The same checks and figures as of `runmeter correct`, and the same event."""

from __future__ import annotations

from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.directory import repository as directory
from console_api.control.errors import Conflict
from console_api.control.outbox import service as outbox
from console_api.corrections import repository
from console_api.corrections.models import (
    CorrectionPage,
    CorrectionPreview,
    CorrectionTerms,
    CorrectionView,
)
from console_api.database.tables import RunCorrection
from console_api.idempotency import id_of
from console_api.prices import repository as prices
from console_api.stores import Stores
from console_api.warehouse import WarehouseAway
from kit.problems import InvalidRequest, NotFound
from metering import metered
from metering.metered import MeteredRun
from metering.totals import CHARGED
from schemas import topics
from schemas.events import CorrectionEvent, CorrectionKind, owner_of


async def preview(
    session: AsyncSession, stores: Stores, principal: Principal, terms: CorrectionTerms, now_ms: int
) -> CorrectionPreview:
    """Return what a correction would change. Raises `NotFound`, `InvalidRequest`, `RedisError`."""
    _operators_only(principal)
    run, event = await _asked(stores, principal, terms, "preview", now_ms)
    identity = run.state.identity
    return CorrectionPreview(
        run_id=identity.run_id,
        org_id=identity.org_id,
        instance_id=identity.instance_id,
        started_at_ms=identity.started_at_ms,
        price_version=identity.price_version,
        models=sorted({call.model for call in run.state.calls.values()}),
        charged_micro=run.totals[CHARGED],
        change_micro=await _change(session, principal.tenant_id, run, event),
    )


async def send(
    session: AsyncSession,
    stores: Stores,
    principal: Principal,
    terms: CorrectionTerms,
    *,
    key: str,
    now_ms: int,
) -> CorrectionView:
    """Send a correction once. Raises `NotFound`, `InvalidRequest`, `Conflict`, `RedisError`."""
    _operators_only(principal)
    request_id = id_of("cor", principal.tenant_id, key)
    known = await repository.one(session, principal.tenant_id, request_id)
    if known is None:
        known = await _sent(session, stores, principal, terms, request_id=request_id, now_ms=now_ms)
    if (known.run_id, known.kind, known.terms) != (terms.run_id, terms.kind, terms.terms()):
        raise Conflict("That Idempotency-Key was used for another correction; use a new one.")
    org = await directory.org(session, principal.tenant_id, known.org_id)
    return _view(known, org.name if org else "", None)


async def page(
    session: AsyncSession,
    stores: Stores,
    principal: Principal,
    *,
    org_id: str,
    limit: int,
    cursor: str | None,
) -> CorrectionPage:
    """Return a page of corrections; what they did is missing while ClickHouse is away."""
    _operators_only(principal)
    before = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.page(session, principal.tenant_id, org_id, before, limit + 1)
    shown = rows[:limit]
    try:
        done = await repository.adjustments(stores, principal.tenant_id, [row[0] for row in shown])
    except WarehouseAway:
        done = {}
    views = [_view(row, name, done.get(repository.entry_id(row))) for row, name in shown]
    last = shown[-1][0] if len(rows) > limit else None
    more = cursors.encode((last.created_at_ms, last.request_id)) if last else None
    return CorrectionPage(corrections=views, next_cursor=more)


def _operators_only(principal: Principal) -> None:
    roles.require(principal, "operator", "To see or send corrections")


async def _asked(
    stores: Stores, principal: Principal, terms: CorrectionTerms, request_id: str, now_ms: int
) -> tuple[MeteredRun, CorrectionEvent]:
    if (terms.kind == "amend") != (terms.usage is not None):
        raise InvalidRequest("An `amend` says what the call used in `usage`; nothing else does.")
    if (terms.kind == "rerate") != bool(terms.price_version):
        raise InvalidRequest("A `rerate` names a `price_version`; nothing else does.")
    run = await repository.run(stores, principal.tenant_id, terms.run_id)
    if run is None:
        raise NotFound(
            "No such run can be corrected: runs are kept for some days after their last change. Give the "
            "difference as a grant of kind correction."
        )
    call_id = terms.usage.call_id if terms.usage else ""
    if call_id and call_id not in run.state.calls:
        raise InvalidRequest("The run has no such call: leave `call_id` out to add one.")
    event = CorrectionEvent(
        **owner_of(run.state.identity),
        occurred_at_ms=now_ms,
        request_id=request_id,
        kind=terms.kind,
        reason=terms.reason,
        **terms.terms(),
    )
    return run, event


async def _change(session: AsyncSession, tenant_id: str, run: MeteredRun, event: CorrectionEvent) -> int:
    books = {}
    for version in sorted(metered.books_needed(run, event)):
        row = await prices.book(session, tenant_id, version)
        if row is None:
            raise InvalidRequest(f"There is no price book {version!r}; list them at /api/v1/prices.")
        books[version] = row.book
    return metered.change(run, event, books)


async def _sent(
    session: AsyncSession,
    stores: Stores,
    principal: Principal,
    terms: CorrectionTerms,
    *,
    request_id: str,
    now_ms: int,
) -> RunCorrection:
    run, event = await _asked(stores, principal, terms, request_id, now_ms)
    row = RunCorrection(
        tenant_id=principal.tenant_id,
        request_id=request_id,
        org_id=event.org_id,
        run_id=event.run_id,
        kind=event.kind,
        terms=terms.terms(),
        expected_micro=await _change(session, principal.tenant_id, run, event),
        reason=event.reason,
        requested_by=principal.subject,
        created_at_ms=now_ms,
    )
    if not await repository.add(session, row):
        raise Conflict("The same correction is being sent right now; look at the list.")
    command_id = repository.entry_id(row)
    await outbox.send(session, topics.CORRECTIONS, event.org_id, command_id, event, at_ms=now_ms)
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=principal.subject,
        action=f"run.{row.kind}",
        target=("run", row.run_id),
        at_ms=now_ms,
        request_id=request_id,
        expected_micro=row.expected_micro,
        reason=row.reason,
        **row.terms,
    )
    return row


def _view(row: RunCorrection, org_name: str, entry_micro: int | None) -> CorrectionView:
    return CorrectionView(
        request_id=row.request_id,
        org_id=row.org_id,
        org_name=org_name,
        run_id=row.run_id,
        kind=cast(CorrectionKind, row.kind),
        terms=row.terms,
        expected_micro=row.expected_micro,
        # The ledger speaks from the wallet's point of view.
        applied_micro=None if entry_micro is None else -entry_micro,
        reason=row.reason,
        requested_by=row.requested_by,
        created_at_ms=row.created_at_ms,
    )
