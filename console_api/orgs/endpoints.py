"""`/api/v1/account/orgs`, `/api/v1/account/org` and, for operators, `/api/v1/orgs`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from console_api.auth.service import OrgMemberDep, PeopleDep, PersonDep, PrincipalDep
from console_api.configuration.models import Reason
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.orgs import service
from console_api.orgs.models import OrgPage, OrgTerms, OrgView, OwnOrg, OwnOrgs

router = APIRouter(prefix="/api/v1", tags=["orgs"])

OrgId = Annotated[str, Path(min_length=1, max_length=128, examples=["org_01kx4h2m7q"])]


@router.get("/account/orgs", summary="The orgs you belong to")
async def mine(person: PersonDep) -> OwnOrgs:
    return service.mine(person)


@router.post("/account/orgs", status_code=201, summary="Make an org, which you own")
async def found(
    terms: OrgTerms, session: WriteDep, control: ControlDep, person: PersonDep, people: PeopleDep
) -> OwnOrg:
    made = await service.found(session, person, terms, control.clock())
    if people is not None:
        people.forget()
    return made


@router.get("/account/org", summary="Your org")
async def own(session: ReadDep, principal: OrgMemberDep) -> OrgView:
    return await service.read(session, principal, principal.org_id)


@router.patch("/account/org", summary="Rename your org")
async def rename(
    terms: OrgTerms, session: WriteDep, control: ControlDep, principal: OrgMemberDep, people: PeopleDep
) -> OrgView:
    renamed = await service.rename(session, principal, terms, control.clock())
    if people is not None:
        people.forget()
    return renamed


@router.get("/orgs", summary="The tenant's orgs, newest first (operators)")
async def orgs(
    session: ReadDep,
    principal: PrincipalDep,
    *,
    search: Annotated[str, Query(max_length=256, description="A part of the name, or an id")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> OrgPage:
    return await service.page(session, principal, search, limit, cursor)


@router.get("/orgs/{org_id}", summary="One org")
async def org(org_id: OrgId, session: ReadDep, principal: PrincipalDep) -> OrgView:
    return await service.read(session, principal, org_id)


@router.post("/orgs/{org_id}:suspend", status_code=204, summary="Stop all of an org's instances (operators)")
async def suspend(
    *,
    org_id: OrgId,
    why: Reason,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    people: PeopleDep,
) -> Response:
    await service.set_status(session, principal, org_id, "suspended", why.reason, now_ms=control.clock())
    if people is not None:
        people.forget()
    return Response(status_code=204)


@router.post("/orgs/{org_id}:resume", status_code=204, summary="Let them run again (operators)")
async def resume(
    *,
    org_id: OrgId,
    why: Reason,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    people: PeopleDep,
) -> Response:
    await service.set_status(session, principal, org_id, "active", why.reason, now_ms=control.clock())
    if people is not None:
        people.forget()
    return Response(status_code=204)
