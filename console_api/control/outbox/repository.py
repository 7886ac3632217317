"""The outbox and its leases: all of their SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, literal_column, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.outbox.models import Lane, Projection
from console_api.database.statements import insert_if_new
from console_api.database.tables import Lease, OutboxRow

_PRUNED_AT_ONCE = 1_000
_FIRST: Projection = "api_key"


async def add(
    session: AsyncSession, *, outbox_id: str, lane: Lane, topic: str, key: str, payload: bytes, at_ms: int
) -> bool:
    """Write one row; return whether it was new."""
    return await insert_if_new(
        session,
        OutboxRow,
        outbox_id=outbox_id,
        lane=lane,
        topic=topic,
        key=key,
        payload=payload,
        created_at_ms=at_ms,
    )


async def add_projections(session: AsyncSession, rows: Sequence[dict[str, object]]) -> None:
    """Write many rows that name projections."""
    if rows:
        await session.execute(insert(OutboxRow), list(rows))


def _pending(lane: Lane) -> ColumnElement[bool]:
    return and_(OutboxRow.lane == lane, OutboxRow.sent_at_ms == 0, OutboxRow.parked_at_ms == 0)


async def has_pending(session: AsyncSession, lane: Lane) -> bool:
    return await session.scalar(select(OutboxRow.seq).where(_pending(lane)).limit(1)) is not None


async def pending(session: AsyncSession, lane: Lane, limit: int) -> Sequence[OutboxRow]:
    """Return the oldest rows that were not sent, in the order they were written; keys before the rest.

    A plan's change names all of its instances, and a revocation does not wait for them. The order of
    projections tells nothing: each is written as the database has it then. A key that comes before its
    instance opens nothing, and the instance announces its keys, so that no gateway goes on believing that.
    Events of an organisation keep their order: on their lane there are no keys.
    """
    query = select(OutboxRow).where(_pending(lane)).limit(limit)
    if lane == "redis":
        query = query.order_by(case((OutboxRow.topic == _FIRST, 0), else_=1))
    return (await session.scalars(query.order_by(OutboxRow.seq))).all()


async def mark_sent(session: AsyncSession, seqs: Sequence[int], at_ms: int) -> None:
    await session.execute(
        update(OutboxRow)
        .where(OutboxRow.seq.in_(seqs), OutboxRow.sent_at_ms == 0)
        .values(sent_at_ms=at_ms)
        .execution_options(synchronize_session=False)
    )


async def park(session: AsyncSession, reasons: Mapping[int, str], at_ms: int) -> None:
    """Take rows out of the way that can never be sent."""
    for seq, reason in reasons.items():
        await session.execute(
            update(OutboxRow)
            .where(OutboxRow.seq == seq)
            .values(parked_at_ms=at_ms, error=reason)
            .execution_options(synchronize_session=False)
        )


async def prune(session: AsyncSession, before_ms: int) -> int:
    """Delete some rows that were sent before that moment; return how many."""
    old = (
        select(OutboxRow.seq)
        .where(OutboxRow.sent_at_ms > 0, OutboxRow.sent_at_ms < before_ms)
        .order_by(OutboxRow.sent_at_ms)
        .limit(_PRUNED_AT_ONCE)
    )
    gone = await session.scalars(
        delete(OutboxRow)
        .where(OutboxRow.seq.in_(old))
        .returning(OutboxRow.seq)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())


async def lag(session: AsyncSession, lane: Lane) -> tuple[int, int]:
    """Return how many rows wait, and when the oldest of them was written (0: none waits)."""
    row = (
        await session.execute(
            select(func.count(), func.coalesce(func.min(OutboxRow.created_at_ms), 0)).where(_pending(lane))
        )
    ).one()
    return row[0], row[1]


async def parked(session: AsyncSession) -> int:
    """Return how many rows were taken out of the way."""
    # A literal, as the index has it: one for a parameter's value would not be known to hold the rows.
    at_all = OutboxRow.parked_at_ms > literal_column("0")
    return await session.scalar(select(func.count()).select_from(OutboxRow).where(at_all)) or 0


async def ensure_lease(session: AsyncSession, name: str) -> None:
    await insert_if_new(session, Lease, name=name)


async def lock_lease(session: AsyncSession, name: str) -> bool:
    """Lock the lease until the transaction ends; return whether nobody else had (PostgreSQL)."""
    row = await session.scalar(select(Lease.name).where(Lease.name == name).with_for_update(skip_locked=True))
    return row is not None


async def take_lease(session: AsyncSession, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
    """Take or keep the lease until that moment; return whether nobody else has it (SQLite)."""
    free = or_(Lease.holder == holder, Lease.until_ms <= now_ms)
    taken = await session.scalar(
        update(Lease)
        .where(Lease.name == name, free)
        .values(holder=holder, until_ms=until_ms)
        .returning(Lease.name)
        .execution_options(synchronize_session=False)
    )
    return taken is not None


async def free_lease(session: AsyncSession, name: str, holder: str) -> None:
    await session.execute(
        update(Lease)
        .where(Lease.name == name, Lease.holder == holder)
        .values(holder="", until_ms=0)
        .execution_options(synchronize_session=False)
    )
