"""Tenants, orgs, instances, prices: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.base import Base
from console_api.database.statements import insert_if_new
from console_api.database.tables import (
    Instance,
    InstanceConfig,
    Membership,
    Org,
    Plan,
    PriceBookRow,
    PriceScheduleRow,
    Tenant,
    User,
)
from metering.price_schedule import PriceSchedule
from metering.prices import PriceBook
from schemas.directory import Role


def add(session: AsyncSession, *rows: Base) -> None:
    session.add_all(rows)


async def add_tenant(session: AsyncSession, tenant_id: str, name: str, at_ms: int) -> bool:
    return await insert_if_new(session, Tenant, tenant_id=tenant_id, name=name, created_at_ms=at_ms)


async def add_org(
    session: AsyncSession, *, org_id: str, tenant_id: str, external_id: str | None, name: str, at_ms: int
) -> bool:
    return await insert_if_new(
        session,
        Org,
        org_id=org_id,
        tenant_id=tenant_id,
        external_id=external_id,
        name=name,
        created_at_ms=at_ms,
    )


async def org(session: AsyncSession, tenant_id: str, org_id: str) -> Org | None:
    return await session.scalar(select(Org).where(Org.tenant_id == tenant_id, Org.org_id == org_id))


async def org_by_external_id(session: AsyncSession, tenant_id: str, external_id: str) -> Org | None:
    return await session.scalar(select(Org).where(Org.tenant_id == tenant_id, Org.external_id == external_id))


async def add_user(
    session: AsyncSession,
    *,
    user_id: str,
    tenant_id: str,
    issuer: str,
    subject: str,
    email: str,
    at_ms: int,
) -> bool:
    return await insert_if_new(
        session,
        User,
        user_id=user_id,
        tenant_id=tenant_id,
        issuer=issuer,
        subject=subject,
        email=email,
        created_at_ms=at_ms,
    )


async def user(session: AsyncSession, tenant_id: str, issuer: str, subject: str) -> User | None:
    return await session.scalar(
        select(User).where(User.tenant_id == tenant_id, User.issuer == issuer, User.subject == subject)
    )


async def add_membership(session: AsyncSession, org_id: str, user_id: str, role: Role, at_ms: int) -> bool:
    return await insert_if_new(
        session, Membership, org_id=org_id, user_id=user_id, role=role, created_at_ms=at_ms
    )


async def plan(session: AsyncSession, tenant_id: str, plan_id: str) -> Plan | None:
    return await session.scalar(select(Plan).where(Plan.tenant_id == tenant_id, Plan.plan_id == plan_id))


async def instance(session: AsyncSession, instance_id: str, *, lock: bool = False) -> Instance | None:
    query = select(Instance).where(Instance.instance_id == instance_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def instance_of_order(session: AsyncSession, order_id: str) -> Instance | None:
    return await session.scalar(select(Instance).where(Instance.order_id == order_id))


async def add_instance(session: AsyncSession, row: Instance) -> bool:
    """Insert an instance, unless its id or its order has one."""
    columns = Instance.__table__.columns.keys()
    given = {name: getattr(row, name) for name in columns if name in row.__dict__}
    return await insert_if_new(session, Instance, **given)


async def config(session: AsyncSession, instance_id: str) -> InstanceConfig | None:
    return await session.get(InstanceConfig, instance_id)


async def locked_org(session: AsyncSession, tenant_id: str, org_id: str) -> Org | None:
    query = select(Org).where(Org.tenant_id == tenant_id, Org.org_id == org_id)
    return await session.scalar(query.with_for_update())


async def touch_instances_of_plan(session: AsyncSession, plan_id: str, at_ms: int) -> Sequence[str]:
    """Note that all instances of a plan change; return their ids."""
    return await _touch(session, Instance.plan_id == plan_id, at_ms)


async def touch_instances_of_org(session: AsyncSession, org_id: str, at_ms: int) -> Sequence[str]:
    """Note that all instances of an org change; return their ids."""
    return await _touch(session, Instance.org_id == org_id, at_ms)


async def _touch(session: AsyncSession, which: ColumnElement[bool], at_ms: int) -> Sequence[str]:
    touched = await session.scalars(
        update(Instance)
        .where(which)
        .values(version=Instance.version + 1, updated_at_ms=at_ms)
        .returning(Instance.instance_id)
        .execution_options(synchronize_session=False)
    )
    return touched.all()


async def add_book(session: AsyncSession, tenant_id: str, book: PriceBook, at_ms: int) -> bool:
    return await insert_if_new(
        session, PriceBookRow, version=book.version, tenant_id=tenant_id, book=book, created_at_ms=at_ms
    )


async def has_book(session: AsyncSession, tenant_id: str, version: str) -> bool:
    return await session.get(PriceBookRow, (version, tenant_id)) is not None


async def schedule(session: AsyncSession, tenant_id: str) -> PriceSchedule | None:
    row = await session.get(PriceScheduleRow, tenant_id)
    return row.schedule if row is not None else None


async def locked_schedule(session: AsyncSession, tenant_id: str, at_ms: int) -> PriceScheduleRow:
    """Return a tenant's schedule, locked; an empty one is made for whoever has none."""
    await insert_if_new(
        session,
        PriceScheduleRow,
        tenant_id=tenant_id,
        schedule=PriceSchedule(),
        version=1,
        updated_at_ms=at_ms,
    )
    row = await session.scalar(
        select(PriceScheduleRow).where(PriceScheduleRow.tenant_id == tenant_id).with_for_update()
    )
    assert row is not None
    return row
