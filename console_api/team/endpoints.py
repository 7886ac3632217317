"""`/api/v1/account/team…`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from console_api.auth.service import OrgMemberDep, PeopleDep, PersonDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.team import service
from console_api.team.models import Invitation, Invite, Member, RoleChange, Team

router = APIRouter(prefix="/api/v1/account/team", tags=["team"])

UserId = Annotated[str, Path(min_length=1, max_length=128, examples=["user_01kx4h2m7q"])]
InvitationId = Annotated[str, Path(min_length=1, max_length=128, examples=["inv_01kx4h2m7q"])]

_INVITE = """\
Whoever signs in with that address, verified by the issuer, belongs to the org from then on. An invitation is
good for 14 days; to invite the same address again changes its role and prolongs it. No mail is sent.
"""


@router.get("", summary="Who belongs to your org, and who is invited")
async def team(session: ReadDep, control: ControlDep, principal: OrgMemberDep) -> Team:
    return await service.read(session, principal, control.clock())


@router.post("/invitations", status_code=201, summary="Invite somebody", description=_INVITE)
async def invite(
    asked: Invite, session: WriteDep, control: ControlDep, principal: OrgMemberDep, people: PeopleDep
) -> Invitation:
    held = await service.invite(session, principal, asked, control.clock())
    if people is not None:
        people.forget()
    return held


@router.delete("/invitations/{invitation_id}", status_code=204, summary="Take an invitation back")
async def withdraw(
    invitation_id: InvitationId, session: WriteDep, control: ControlDep, principal: OrgMemberDep
) -> Response:
    await service.withdraw(session, principal, invitation_id, control.clock())
    return Response(status_code=204)


@router.patch("/{user_id}", summary="Give a member another role")
async def change(
    user_id: UserId,
    change: RoleChange,
    *,
    session: WriteDep,
    control: ControlDep,
    principal: OrgMemberDep,
    people: PeopleDep,
) -> Member:
    member = await service.change(session, principal, user_id, change.role, control.clock())
    if people is not None:
        people.forget()
    return member


@router.delete("/{user_id}", status_code=204, summary="Take a member out, or leave")
async def remove(
    user_id: UserId,
    *,
    session: WriteDep,
    control: ControlDep,
    principal: OrgMemberDep,
    person: PersonDep,
    people: PeopleDep,
) -> Response:
    await service.remove(session, principal, user_id, user_id == person.user_id, control.clock())
    if people is not None:
        people.forget()
    return Response(status_code=204)
