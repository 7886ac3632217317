"""How much an instance may know: what its plan says, and never more than the installation allows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Instance
from console_api.knowledge import repository
from kit.settings import KnowledgeSettings


@dataclass(frozen=True)
class Room:
    """What an instance's sources may come to."""

    max_sources: int
    max_bytes: int
    max_site_pages: int


async def room_of(session: AsyncSession, settings: KnowledgeSettings, owner: Instance) -> Room:
    """Return the room of an instance."""
    terms = await repository.quota(session, owner.plan_id)
    return Room(
        max_sources=_less(terms.max_sources, settings.max_sources),
        max_bytes=_less(terms.max_bytes, settings.max_bytes),
        max_site_pages=_less(terms.max_site_pages, settings.max_site_pages),
    )


def _less(planned: int, allowed: int) -> int:
    return min(planned or allowed, allowed)
