"""A tenant's prices: publishing a book, and saying from when it holds. A part of the caller's transaction."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control import audit
from console_api.control.directory import repository
from console_api.control.errors import Conflict
from console_api.control.outbox import service as outbox
from console_api.database.tables import PriceScheduleRow
from kit.problems import NotFound
from metering import price_schedule
from metering.price_schedule import Entry, PriceSchedule
from metering.prices import PriceBook


async def publish_book(
    session: AsyncSession, tenant_id: str, book: PriceBook, *, actor: str, at_ms: int
) -> bool:
    """Publish a book under its version; return whether it was new."""
    if not await repository.add_book(session, tenant_id, book, at_ms):
        return False
    await outbox.project(session, "price_book", f"{tenant_id}/{book.version}", at_ms)
    _audit(session, tenant_id, actor, "price_book.publish", at_ms, version=book.version)
    return True


async def scheduled(session: AsyncSession, tenant_id: str) -> PriceSchedule:
    """Return a tenant's schedule; an empty one for whoever has none."""
    return await repository.schedule(session, tenant_id) or PriceSchedule()


async def schedule_book(
    session: AsyncSession, tenant_id: str, version: str, from_ms: int, *, actor: str, at_ms: int
) -> PriceSchedule:
    """Price the tenant's new runs with a published book from that moment on (0: the first book, always).

    Raises `NotFound` for a book that was not published, `Conflict` for a moment that is past or taken.
    """
    if not await repository.has_book(session, tenant_id, version):
        raise NotFound("Publish the price book before it is scheduled.")
    row = await repository.locked_schedule(session, tenant_id, at_ms)
    if price_schedule.version_at(row.schedule, from_ms) == version:
        return row.schedule
    # The past of a schedule without entries is nobody's: there were no runs yet.
    now = at_ms if row.schedule.entries else from_ms
    try:
        row.schedule = price_schedule.add(
            row.schedule, Entry(effective_from_ms=from_ms, version=version), now
        )
    except ValueError as error:
        raise Conflict(str(error)) from None
    await _changed(session, row, actor, at_ms, version=version, from_ms=from_ms)
    return row.schedule


async def withdraw(
    session: AsyncSession, tenant_id: str, from_ms: int, *, actor: str, at_ms: int
) -> PriceSchedule:
    """Take back an entry that is to come. Raises `Conflict` for any other."""
    row = await repository.locked_schedule(session, tenant_id, at_ms)
    try:
        row.schedule = price_schedule.withdraw(row.schedule, from_ms, at_ms)
    except ValueError as error:
        raise Conflict(str(error)) from None
    await _changed(session, row, actor, at_ms, withdrawn_from_ms=from_ms)
    return row.schedule


async def _changed(
    session: AsyncSession, row: PriceScheduleRow, actor: str, at_ms: int, **details: object
) -> None:
    row.version += 1
    row.updated_at_ms = at_ms
    await outbox.project(session, "price_schedule", row.tenant_id, at_ms)
    _audit(session, row.tenant_id, actor, "price_schedule.change", at_ms, **details)


def _audit(
    session: AsyncSession, tenant_id: str, actor: str, action: str, at_ms: int, **details: object
) -> None:
    audit.record(
        session,
        tenant_id=tenant_id,
        org_id="",
        actor=actor,
        action=action,
        target=("prices", tenant_id),
        at_ms=at_ms,
        **details,
    )
