"""`/api/v1/dead_letters…`: what workers refused, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.dead_letters import service
from console_api.dead_letters.models import LetterContent, LetterId, LetterPage, Replayed, ReplayTerms

router = APIRouter(prefix="/api/v1", tags=["dead letters"])

_LIST = """\
Each is a record of the marketplace's orgs that a worker could not apply, named by where it stands in the
log. What names no org is shown where there is only one marketplace. The newest 20,000 of the last 30 days are
kept.
"""
_REPLAY = """\
Publishes the original bytes once more, once what made them poison is mended. Harmless for what was applied
already; what is still poison becomes a dead letter again, at another place.
"""


@router.get("/dead_letters", summary="What was refused, newest first (operators)", description=_LIST)
async def letters(
    session: ReadDep,
    principal: PrincipalDep,
    *,
    topic: Annotated[str, Query(max_length=128)] = "",
    reason: Annotated[str, Query(max_length=256)] = "",
    waiting: Annotated[bool, Query(description="Only those that were never replayed")] = False,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> LetterPage:
    return await service.page(
        session, principal, topic=topic, reason=reason, waiting=waiting, limit=limit, cursor=cursor
    )


@router.get("/dead_letters/{letter_id}", summary="A refused record and its bytes (operators)")
async def letter(
    letter_id: Annotated[LetterId, Path()], session: ReadDep, principal: PrincipalDep
) -> LetterContent:
    return await service.read(session, principal, letter_id)


@router.post("/dead_letters:replay", summary="Give records another chance (operators)", description=_REPLAY)
async def replay(
    terms: ReplayTerms, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> Replayed:
    return await service.replay(session, principal, terms, control.clock())
