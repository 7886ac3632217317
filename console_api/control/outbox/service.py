"""What a change calls, in its own transaction, so that the rest of the system hears of it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.outbox import repository
from console_api.control.outbox.models import PROJECTED, Projection
from kit.clock import new_id
from schemas import topics
from schemas.events import encode
from schemas.topics import Topic

#: What the control plane publishes.
_TOPICS = (topics.GRANTS, topics.CORRECTIONS, topics.INGESTION_REQUESTED, topics.RECONCILE_REQUESTS)


async def send(
    session: AsyncSession, topic: Topic, org_id: str, command_id: str, event: Struct, *, at_ms: int
) -> bool:
    """Have an event published once the transaction commits; return `False` if that command was sent before.

    Raises `ValueError` for an event that Kafka or its consumers would refuse: here, not in the relay.
    """
    if topic not in _TOPICS or not isinstance(event, topic.event):
        raise ValueError(f"the control plane publishes no {type(event).__name__} to {topic.name}")
    payload = encode(event)
    if len(payload) > topic.max_message_bytes // 2:
        raise ValueError(f"an event of {len(payload)} bytes is too large for {topic.name}")
    return await repository.add(
        session,
        outbox_id=f"{topic.name}:{command_id}",
        lane="kafka",
        topic=topic.name,
        key=org_id,
        payload=payload,
        at_ms=at_ms,
    )


async def resend(
    session: AsyncSession, topic: Topic, org_id: str, command_id: str, payload: bytes, *, at_ms: int
) -> bool:
    """Have a record's bytes published as they are; return `False` if that command was sent before.

    Raises `ValueError` for a record that Kafka would refuse.
    """
    if not payload or len(payload) > topic.max_message_bytes // 2:
        raise ValueError(f"a record of {len(payload)} bytes is no record of {topic.name}")
    return await repository.add(
        session,
        outbox_id=f"{topic.name}:{command_id}",
        lane="kafka",
        topic=topic.name,
        key=org_id,
        payload=payload,
        at_ms=at_ms,
    )


async def project(session: AsyncSession, kind: Projection, key: str, at_ms: int) -> None:
    """Have a projection written anew, to Redis and to Kafka, once the transaction commits.

    `key` is a key's digest, an instance's id, `<tenant id>/<version>` of a book, a schedule's tenant id, or
    `<org id>/<provider>` of a customer.
    """
    await project_many(session, kind, (key,), at_ms)


async def project_many(session: AsyncSession, kind: Projection, keys: Iterable[str], at_ms: int) -> None:
    """As `project`, for many."""
    names = list(keys)
    rows: list[dict[str, object]] = [
        {"outbox_id": new_id("out"), "lane": lane, "topic": kind, "key": key, "created_at_ms": at_ms}
        for key in names
        for lane in PROJECTED
    ]
    await repository.add_projections(session, rows)
    named(session).extend((kind, key) for key in names)


def named(session: AsyncSession) -> list[tuple[Projection, str]]:
    """Return what the session's transaction had projected, in that order."""
    found: list[tuple[Projection, str]] = session.info.setdefault("projections", [])
    return found
