"""Asking for reconciliations, and what came of them. Whoever does them hears of it through the outbox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.directory import repository as directory
from console_api.control.errors import Conflict
from console_api.control.outbox import service as outbox
from console_api.database.engine import Database
from console_api.database.tables import ReconciliationRow
from console_api.idempotency import id_of
from console_api.reconciliations import repository
from console_api.reconciliations.models import (
    FigureView,
    ReconcileTerms,
    ReconciliationPage,
    ReconciliationReport,
    ReconciliationView,
    Verdict,
)
from kit.clock import new_id
from kit.problems import NotFound
from schemas import topics
from schemas.reconciliation import ReconciledFigure, Reconciliation, ReconciliationRequest

#: After this nobody is going to answer any more.
OVERDUE_MS = 15 * 60_000
KEEP_MS = 90 * topics.DAY_MS
_SCHEDULE = "schedule"
_COUNTS = ("runs", "tokens_in", "tokens_out", "tool_calls")
_PPM = 1_000_000


async def page(
    session: AsyncSession, principal: Principal, limit: int, cursor: str | None, now_ms: int
) -> ReconciliationPage:
    """Return a page of the tenant's reconciliations."""
    _operators_only(principal)
    before = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.page(session, principal.tenant_id, before, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return ReconciliationPage(
        reconciliations=[_view(row, now_ms) for row in rows[:limit]],
        next_cursor=cursors.encode((last.requested_at_ms, last.request_id)) if last else None,
    )


async def read(
    session: AsyncSession, principal: Principal, request_id: str, now_ms: int
) -> ReconciliationReport:
    """Return a reconciliation, whole. Raises `NotFound`."""
    _operators_only(principal)
    row = await repository.one(session, principal.tenant_id, request_id)
    if row is None:
        raise NotFound("There is no such reconciliation; list them at /api/v1/reconciliations.")
    report = row.report
    return ReconciliationReport(
        **_view(row, now_ms).model_dump(),
        figures=[_figure(figure) for figure in report.figures] if report else [],
        differences=report.differences if report else [],
        in_flight=report.in_flight if report else [],
    )


async def start(
    session: AsyncSession, principal: Principal, terms: ReconcileTerms, now_ms: int
) -> ReconciliationView:
    """Ask for a reconciliation. Raises `Conflict` while one is under way, `NotFound` for the org."""
    _operators_only(principal)
    tenant_id = principal.tenant_id
    if terms.org_id and await directory.org(session, tenant_id, terms.org_id) is None:
        raise NotFound("There is no such org; list them at /api/v1/orgs.")
    if await repository.running_since(session, tenant_id, now_ms - OVERDUE_MS):
        raise Conflict("A reconciliation is under way: wait for what comes of it.")
    request = ReconciliationRequest(
        request_id=new_id("rec"),
        tenant_id=tenant_id,
        only_org_id=terms.org_id,
        since_ms=terms.since_ms,
        requested_at_ms=now_ms,
    )
    await _ask(session, request, principal.subject)
    audit.record(
        session,
        tenant_id=tenant_id,
        org_id=terms.org_id,
        actor=principal.subject,
        action="reconciliation.start",
        target=("reconciliation", request.request_id),
        at_ms=now_ms,
        since_ms=terms.since_ms,
    )
    row = await repository.one(session, tenant_id, request.request_id)
    assert row is not None
    return _view(row, now_ms)


async def start_due(session: AsyncSession, every_ms: int, now_ms: int) -> int:
    """Ask for what time alone calls for; several that do it at once ask once. Return for how many tenants."""
    asked = 0
    for tenant_id in await repository.tenants_due(session, now_ms - every_ms):
        request = ReconciliationRequest(
            request_id=id_of("rec", tenant_id, str(now_ms // every_ms)),
            tenant_id=tenant_id,
            requested_at_ms=now_ms,
        )
        asked += await _ask(session, request, _SCHEDULE)
    return asked


async def take(database: Database, events: Sequence[Struct]) -> None:
    """Write down what came of requests."""
    async with database.writing() as session:
        for report in sorted((cast(Reconciliation, event) for event in events), key=lambda r: r.request_id):
            await repository.finish(session, report)


async def _ask(session: AsyncSession, request: ReconciliationRequest, by: str) -> bool:
    new = await repository.add(
        session,
        request_id=request.request_id,
        tenant_id=request.tenant_id,
        only_org_id=request.only_org_id,
        since_ms=request.since_ms,
        requested_by=by,
        at_ms=request.requested_at_ms,
    )
    if new:
        await outbox.send(
            session,
            topics.RECONCILE_REQUESTS,
            request.tenant_id,
            request.request_id,
            request,
            at_ms=request.requested_at_ms,
        )
    return new


def _operators_only(principal: Principal) -> None:
    roles.require(principal, "operator", "To reconcile")


def _view(row: ReconciliationRow, now_ms: int) -> ReconciliationView:
    report = row.report or _NOTHING
    return ReconciliationView(
        request_id=row.request_id,
        org_id=row.only_org_id,
        since_ms=row.since_ms,
        requested_by=row.requested_by,
        requested_at_ms=row.requested_at_ms,
        finished_at_ms=row.finished_at_ms,
        verdict=_verdict(row, now_ms),
        error=report.error,
        orgs=report.orgs,
        runs=report.runs,
        records=report.records,
        records_stored=report.records_stored,
        completeness_ppm=report.records_stored * _PPM // report.records if report.records else _PPM,
        behind_ms=report.behind_ms,
        different=report.different,
        difference_micro=_widest(figure for figure in report.figures if figure.name not in _COUNTS),
    )


def _verdict(row: ReconciliationRow, now_ms: int) -> Verdict:
    if row.report is None:
        return "running" if row.requested_at_ms > now_ms - OVERDUE_MS else "overdue"
    if row.report.error:
        return "failed"
    if not row.report.different:
        return "exact"
    return "unsettled" if row.report.in_flight else "different"


def _widest(figures: Iterable[ReconciledFigure]) -> int:
    gaps = [0]
    for figure in figures:
        said = [
            value
            for value in (figure.recomputed, figure.redis, figure.ledger, figure.clickhouse)
            if value is not None
        ]
        gaps.append(max(said) - min(said) if said else 0)
    return max(gaps)


def _figure(figure: ReconciledFigure) -> FigureView:
    return FigureView(
        name=figure.name,
        is_credits=figure.name not in _COUNTS,
        recomputed=figure.recomputed,
        redis=figure.redis,
        ledger=figure.ledger,
        clickhouse=figure.clickhouse,
    )


_NOTHING = Reconciliation(request_id="-", tenant_id="-", started_at_ms=0, finished_at_ms=0)
