"""How much an instance may know: what its plan says, and never more than the installation allows.

The bytes of an address are counted once they are known; its request says how many there is room for.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.errors import Conflict
from console_api.database.tables import Instance, KnowledgeSource
from console_api.knowledge import repository
from kit.settings import KnowledgeSettings

#: A plan is an instance's for good.
_MORE_ROOM = "buy another instance on a plan with more room."


class QuotaReached(Conflict):
    """The plan has no room for more."""

    code, title = "knowledge_quota_reached", "The instance knows as much as its plan allows"


@dataclass(frozen=True)
class Room:
    """What an instance's sources may come to."""

    max_sources: int
    max_bytes: int
    max_site_pages: int


@dataclass(frozen=True)
class Allowed:
    """What one request may fetch."""

    max_bytes: int
    max_pages: int


async def room_of(session: AsyncSession, settings: KnowledgeSettings, owner: Instance) -> Room:
    """Return the room of an instance."""
    terms = await repository.quota(session, owner.plan_id)
    return Room(
        max_sources=_less(terms.max_sources, settings.max_sources),
        max_bytes=_less(terms.max_bytes, settings.max_bytes),
        max_site_pages=_less(terms.max_site_pages, settings.max_site_pages),
    )


async def has_room(
    session: AsyncSession, settings: KnowledgeSettings, owner: Instance, more: int, *, new: bool = True
) -> None:
    """Raise `Conflict` for an instance that learns nothing now, `QuotaReached` where `more` does not fit."""
    may_learn(owner)
    sources, size = await repository.used(session, owner.instance_id)
    room = await room_of(session, settings, owner)
    if new and sources >= room.max_sources:
        raise QuotaReached(f"Your plan has room for {room.max_sources} sources; delete one, or {_MORE_ROOM}")
    if size + more > room.max_bytes:
        raise QuotaReached(f"Your plan has room for {room.max_bytes} bytes; delete a source, or {_MORE_ROOM}")


def may_learn(owner: Instance) -> None:
    """Raise `Conflict` for an instance that has ended, or is suspended."""
    if owner.status == "ended":
        raise Conflict("The instance has ended; it learns nothing any more.")
    if owner.status == "suspended":
        raise Conflict("The instance is suspended; have it resumed, then it learns again.")


async def allowed(
    session: AsyncSession, settings: KnowledgeSettings, owner: Instance, row: KnowledgeSource
) -> Allowed:
    """Return what the next version of a source may fetch, by the plan as it is now."""
    room = await room_of(session, settings, owner)
    _, used = await repository.used(session, owner.instance_id)
    left = room.max_bytes - used + row.size_bytes
    # 0 would be no bound.
    return Allowed(max_bytes=max(1, left), max_pages=min(row.max_pages, room.max_site_pages))


def _less(planned: int, allowed: int) -> int:
    return min(planned or allowed, allowed)
