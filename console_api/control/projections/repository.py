"""What is projected, read from the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Select, insert, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.outbox.models import Projection
from console_api.control.projections.records import (
    Belongings,
    book_write,
    connectors_write,
    customer_write,
    instance_write,
    key_write,
    schedule_write,
)
from console_api.database.tables import (
    ApiKey,
    Connector,
    Customer,
    Instance,
    InstanceConfig,
    KnowledgeSource,
    Org,
    OutboxRow,
    Plan,
    PriceBookRow,
    PriceScheduleRow,
    Secret,
    Tenant,
)
from kit.projections import Write

#: A row's place in the order of its table, and what it is projected as.
Placed = tuple[str, Write]


async def key_writes(
    session: AsyncSession,
    now_ms: int,
    digests: Sequence[str] | None = None,
    after: str = "",
    limit: int = 500,
) -> list[Placed]:
    """Return keys by digest: those that are named, or a page of all of them."""
    query = select(ApiKey).order_by(ApiKey.digest).limit(limit)
    query = query.where(ApiKey.digest > after if digests is None else ApiKey.digest.in_(digests))
    return [(row.digest, key_write(row, now_ms)) for row in await session.scalars(query)]


async def instance_writes(
    session: AsyncSession, ids: Sequence[str] | None = None, after: str = "", limit: int = 500
) -> list[Placed]:
    """Return instances by id: those that are named, or a page of all of them."""
    query: Select[Instance, InstanceConfig, Plan, bool] = (
        select(Instance, InstanceConfig, Plan, stopped())
        .join(InstanceConfig, InstanceConfig.instance_id == Instance.instance_id)
        .join(Plan, Plan.plan_id == Instance.plan_id)
        .join(Org, Org.org_id == Instance.org_id)
        .join(Tenant, Tenant.tenant_id == Instance.tenant_id)
        .order_by(Instance.instance_id)
        .limit(limit)
    )
    query = query.where(Instance.instance_id > after if ids is None else Instance.instance_id.in_(ids))
    rows = (await session.execute(query)).all()
    of = await _belongings(session, [row[0].instance_id for row in rows])
    return [
        (instance.instance_id, write)
        for instance, config, plan, stops in rows
        for write in (
            # Before the instance says that there are some.
            connectors_write(instance, of[instance.instance_id]),
            instance_write(instance, config, plan, of[instance.instance_id], stopped=stops),
        )
    ]


def stopped() -> ColumnElement[bool]:
    """Return the condition that nothing of an org runs; `Org` and `Tenant` are joined."""
    return or_(Org.status != "active", Tenant.status != "active")


async def _belongings(session: AsyncSession, ids: Sequence[str]) -> dict[str, Belongings]:
    digests = await _digests(session, ids)
    connectors = await _connectors(session, ids)
    known = set(
        await session.scalars(
            select(KnowledgeSource.instance_id)
            .where(
                KnowledgeSource.instance_id.in_(ids),
                KnowledgeSource.deleted_at_ms == 0,
                # Told before it is ready: gateways hear of it later than its owner, who then asks at once.
                or_(KnowledgeSource.ready_at_ms > 0, KnowledgeSource.status != "failed"),
            )
            .distinct()
        )
    )
    return {id_: Belongings(digests.get(id_, ()), id_ in known, connectors.get(id_, ())) for id_ in ids}


async def _connectors(
    session: AsyncSession, ids: Sequence[str]
) -> dict[str, tuple[tuple[Connector, Secret], ...]]:
    query = (
        select(Connector, Secret)
        .join(Secret, Secret.secret_id == Connector.secret_id)
        .where(Connector.instance_id.in_(ids), Connector.enabled)
        .order_by(Connector.created_at_ms, Connector.connector_id)
    )
    found: dict[str, tuple[tuple[Connector, Secret], ...]] = {}
    for connector, secret in await session.execute(query):
        found[connector.instance_id] = (*found.get(connector.instance_id, ()), (connector, secret))
    return found


async def _digests(session: AsyncSession, instance_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    rows = await session.execute(
        select(ApiKey.instance_id, ApiKey.digest).where(
            ApiKey.instance_id.in_(instance_ids), ApiKey.revoked_at_ms == 0
        )
    )
    for instance_id, digest in rows:
        found[instance_id] = (*found.get(instance_id, ()), digest)
    return found


async def book_writes(
    session: AsyncSession, names: Iterable[str] | None = None, after: str = "", limit: int = 500
) -> list[Placed]:
    """Return books by version: those named `<tenant id>/<version>`, or a page of all of them."""
    query = select(PriceBookRow).order_by(PriceBookRow.version, PriceBookRow.tenant_id).limit(limit)
    if names is None:
        query = query.where(PriceBookRow.version > after)
    else:
        # The version is made from the content: whoever published it, it is the same book.
        query = query.where(PriceBookRow.version.in_([name.rpartition("/")[2] for name in names]))
    return [(row.version, book_write(row)) for row in await session.scalars(query)]


async def schedule_writes(
    session: AsyncSession, tenants: Sequence[str] | None = None, after: str = "", limit: int = 500
) -> list[Placed]:
    """Return schedules by tenant: those that are named, or a page of all of them."""
    query = select(PriceScheduleRow).order_by(PriceScheduleRow.tenant_id).limit(limit)
    named = PriceScheduleRow.tenant_id > after if tenants is None else PriceScheduleRow.tenant_id.in_(tenants)
    return [(row.tenant_id, schedule_write(row)) for row in await session.scalars(query.where(named))]


async def customer_writes(
    session: AsyncSession, names: Sequence[str] | None = None, after: str = "", limit: int = 500
) -> list[Placed]:
    """Return customers by org and provider: those named `<org id>/<provider>`, or a page of all of them."""
    place = tuple_(Customer.org_id, Customer.provider)
    query = select(Customer).order_by(Customer.org_id, Customer.provider).limit(limit)
    named = place > _pair(after) if names is None else place.in_([_pair(name) for name in names])
    rows = await session.scalars(query.where(named))
    return [(f"{row.org_id}/{row.provider}", customer_write(row)) for row in rows]


def _pair(name: str) -> tuple[str, str]:
    org_id, _, provider = name.rpartition("/")
    return org_id, provider


async def publish_all(session: AsyncSession, request_id: str, at_ms: int) -> None:
    """Have all projections published: a row in the outbox for each, its id made with that of the request."""
    # Prices first: a key without them cannot be served.
    named: dict[Projection, ColumnElement[str]] = {
        "price_book": PriceBookRow.tenant_id + "/" + PriceBookRow.version,
        "price_schedule": PriceScheduleRow.tenant_id + "",
        "instance": Instance.instance_id + "",
        "api_key": ApiKey.digest + "",
        "customer": Customer.org_id + "/" + Customer.provider,
    }
    columns = ("outbox_id", "lane", "topic", "key", "created_at_ms")
    for kind, name in named.items():
        row = (
            literal(f"{request_id}:{kind}:") + name,
            literal("records"),
            literal(kind),
            name,
            literal(at_ms),
        )
        await session.execute(insert(OutboxRow).from_select(columns, select(*row)))
