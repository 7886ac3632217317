"""Alerts: their SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.statements import insert_if_new
from console_api.database.tables import (
    Alert,
    AlertChannel,
    AlertDelivery,
    AlertRule,
    Instance,
    Membership,
    Org,
    User,
)

#: Where an alert stands in the order of a list: `created_at_ms`, `alert_id`.
Place = tuple[int, str]
#: Mails to owners go to so many of them at most, the longest-standing first.
MAX_OWNERS = 20


async def lock_org(session: AsyncSession, org_id: str) -> None:
    """Let one change of an org's channels happen at a time, so that their limit holds."""
    await session.scalar(select(Org.org_id).where(Org.org_id == org_id).with_for_update())


async def org(session: AsyncSession, tenant_id: str, org_id: str) -> Org | None:
    return await session.scalar(select(Org).where(Org.org_id == org_id, Org.tenant_id == tenant_id))


async def orgs(session: AsyncSession, after: str, limit: int) -> Sequence[Org]:
    """Return active orgs of all tenants, by id."""
    query = select(Org).where(Org.status == "active", Org.org_id > after)
    return (await session.scalars(query.order_by(Org.org_id).limit(limit))).all()


async def instance_name(session: AsyncSession, org_id: str, instance_id: str) -> str | None:
    return await session.scalar(
        select(Instance.name).where(Instance.instance_id == instance_id, Instance.org_id == org_id)
    )


async def owners(session: AsyncSession, org_id: str) -> list[str]:
    """Return the e-mail addresses of an org's owners."""
    found = await session.scalars(
        select(User.email)
        .join(Membership, Membership.user_id == User.user_id)
        .where(Membership.org_id == org_id, Membership.role == "owner", User.email != "")
        .order_by(Membership.created_at_ms, User.user_id)
        .limit(MAX_OWNERS)
    )
    return list(dict.fromkeys(found))


def add_channel(session: AsyncSession, row: AlertChannel) -> None:
    session.add(row)


async def delete_channel(session: AsyncSession, row: AlertChannel) -> None:
    await session.delete(row)


async def channels(session: AsyncSession, org_id: str) -> Sequence[AlertChannel]:
    """Return an org's channels, oldest first; there is a limit to them."""
    query = select(AlertChannel).where(AlertChannel.org_id == org_id)
    order = (AlertChannel.created_at_ms, AlertChannel.channel_id)
    return (await session.scalars(query.order_by(*order))).all()


async def channel(
    session: AsyncSession, org_id: str, channel_id: str, *, lock: bool = False
) -> AlertChannel | None:
    query = select(AlertChannel).where(AlertChannel.channel_id == channel_id, AlertChannel.org_id == org_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def rules(session: AsyncSession, org_id: str) -> dict[str, AlertRule]:
    """Return the rules that an org has of its own, by kind."""
    found = await session.scalars(select(AlertRule).where(AlertRule.org_id == org_id))
    return {row.kind: row for row in found}


async def rule(session: AsyncSession, org_id: str, kind: str) -> AlertRule | None:
    return await session.get(AlertRule, (org_id, kind))


async def add_rule(session: AsyncSession, **values: Any) -> bool:
    return await insert_if_new(session, AlertRule, **values)


async def lock_rule(session: AsyncSession, org_id: str, kind: str) -> AlertRule:
    query = select(AlertRule).where(AlertRule.org_id == org_id, AlertRule.kind == kind)
    found = await session.scalar(query.with_for_update())
    assert found is not None
    return found


async def add_alert(session: AsyncSession, **values: Any) -> bool:
    """Write an alert down, unless it was told; return whether it is new."""
    return await insert_if_new(session, Alert, **values)


def add_delivery(session: AsyncSession, row: AlertDelivery) -> None:
    session.add(row)


async def page(session: AsyncSession, org_id: str, before: Place | None, limit: int) -> Sequence[Alert]:
    """Return an org's alerts, newest first."""
    query = select(Alert).where(Alert.org_id == org_id)
    if before is not None:
        query = query.where(tuple_(Alert.created_at_ms, Alert.alert_id) < before)
    order = (Alert.created_at_ms.desc(), Alert.alert_id.desc())
    return (await session.scalars(query.order_by(*order).limit(limit))).all()


async def deliveries(session: AsyncSession, alert_ids: Sequence[str]) -> Sequence[AlertDelivery]:
    query = select(AlertDelivery).where(AlertDelivery.alert_id.in_(alert_ids))
    return (await session.scalars(query.order_by(AlertDelivery.delivery_id))).all()


async def delivery_of(
    session: AsyncSession, org_id: str, delivery_id: str
) -> tuple[AlertDelivery, Alert] | None:
    """Return a delivery of an org's alert, locked."""
    query = (
        select(AlertDelivery, Alert)
        .join(Alert, Alert.alert_id == AlertDelivery.alert_id)
        .where(AlertDelivery.delivery_id == delivery_id, Alert.org_id == org_id)
        .with_for_update(of=AlertDelivery)
    )
    found = (await session.execute(query)).one_or_none()
    return None if found is None else (found[0], found[1])


async def has_due(session: AsyncSession, now_ms: int) -> bool:
    query = select(AlertDelivery.delivery_id).where(
        AlertDelivery.status == "waiting", AlertDelivery.next_try_at_ms <= now_ms
    )
    return await session.scalar(query.limit(1)) is not None


async def due(session: AsyncSession, now_ms: int, limit: int) -> Sequence[Row[AlertDelivery, Alert, str]]:
    """Return deliveries that may be tried now, with their alerts and orgs' names, locked.

    Those that another process just takes are passed over.
    """
    query = (
        select(AlertDelivery, Alert, Org.name)
        .join(Alert, Alert.alert_id == AlertDelivery.alert_id)
        .join(Org, Org.org_id == Alert.org_id)
        .where(AlertDelivery.status == "waiting", AlertDelivery.next_try_at_ms <= now_ms)
        .order_by(AlertDelivery.next_try_at_ms, AlertDelivery.delivery_id)
        .limit(limit)
        .with_for_update(of=AlertDelivery, skip_locked=True)
    )
    return (await session.execute(query)).all()


async def settle(session: AsyncSession, delivery_id: str, attempts: int | None, **values: Any) -> bool:
    """Write down what became of an attempt, unless it is settled or (with `attempts`) another began since."""
    query = update(AlertDelivery).where(
        AlertDelivery.delivery_id == delivery_id, AlertDelivery.status == "waiting"
    )
    if attempts is not None:
        query = query.where(AlertDelivery.attempts == attempts)
    done = await session.scalar(
        query.values(**values)
        .returning(AlertDelivery.delivery_id)
        .execution_options(synchronize_session=False)
    )
    return done is not None


async def waiting(session: AsyncSession) -> int:
    query = select(func.count()).select_from(AlertDelivery).where(AlertDelivery.status == "waiting")
    return await session.scalar(query) or 0


async def purge(session: AsyncSession, before_ms: int, limit: int) -> int:
    """Delete some alerts that are older, with their deliveries; return how many."""
    old = select(Alert.alert_id).where(Alert.created_at_ms < before_ms).order_by(Alert.created_at_ms)
    gone = await session.scalars(
        delete(Alert)
        .where(Alert.alert_id.in_(old.limit(limit)))
        .returning(Alert.alert_id)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())
