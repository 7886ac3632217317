"""From a bearer token to a principal: a person of the issuer's, or whom a stored token speaks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Annotated

import aiohttp
from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from console_api.auth import repository, roles
from console_api.auth.models import Belonging, Person, Principal
from console_api.auth.oidc import Verifier, invalid_token, looks_like_jwt
from console_api.auth.people import People
from console_api.control.directory import repository as directory
from console_api.control.plane import ControlPlane, database_told
from console_api.stores import Stores, StoresDep
from kit.problems import Forbidden, NotFound, Unauthorized
from kit.settings import OidcSettings
from schemas.directory import AccessTokenRecord

_bearer = HTTPBearer(auto_error=False, description="Your access token, from the issuer that signs you in.")
_REMEDY = "Send `Authorization: Bearer <access token>` with a token that is still valid."


@asynccontextmanager
async def people_of(settings: OidcSettings, plane: ControlPlane) -> AsyncIterator[People]:
    """Verify the issuer's tokens until the block ends."""
    async with aiohttp.ClientSession() as http:
        yield People(Verifier(http, settings, plane.clock), plane)


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    if credentials is None or not credentials.credentials:
        raise Unauthorized(_REMEDY, headers={"WWW-Authenticate": "Bearer"})
    return credentials.credentials


TokenDep = Annotated[str, Depends(_token)]


def _people(request: Request) -> People | None:
    people = request.app.state.people
    assert people is None or isinstance(people, People)
    return people


#: `None` where nobody signs in by OpenID Connect.
PeopleDep = Annotated[People | None, Depends(_people)]


async def person_of(people: PeopleDep, stores: StoresDep, token: TokenDep) -> Person:
    """Return whose token it is. Raises `Unauthorized`, `Forbidden`, `Unavailable`, `RedisError`."""
    if people is not None and looks_like_jwt(token):
        return await people.of(token)
    record = await _record(stores, token)
    if record is None:
        raise invalid_token()
    orgs = (Belonging(record.org_id, "", record.role),) if record.org_id else ()
    return Person(
        user_id="",
        tenant_id=record.tenant_id,
        subject=record.subject,
        email="",
        name="",
        # A token of the whole tenant acts for it with the role that it has, which need not be an operator's.
        is_operator=not record.org_id and record.role == "operator",
        orgs=orgs or (Belonging("", "", record.role),),
    )


async def _record(stores: Stores, token: str) -> AccessTokenRecord | None:
    return await repository.token_record(stores, sha256(token.encode()).hexdigest())


#: Who is calling, whichever org they mean.
PersonDep = Annotated[Person, Depends(person_of)]


async def _principal(
    person: PersonDep,
    request: Request,
    x_runmeter_org: Annotated[
        str | None, Header(max_length=128, description="The org you mean, if you belong to several")
    ] = None,
) -> Principal:
    wanted = x_runmeter_org or ""
    if person.is_operator:
        # Of the whole tenant, unless one org of it is meant.
        await _check_org(request, person.tenant_id, wanted)
        return Principal(person.subject, person.tenant_id, wanted, "operator")
    for place in person.orgs:
        if wanted in ("", place.org_id):
            return Principal(person.subject, person.tenant_id, place.org_id, place.role)
    if wanted:
        raise Forbidden("You do not belong to that org; list yours at /api/v1/account/orgs.")
    raise Forbidden(
        "You belong to no org yet: accept an invitation, or make one with POST /api/v1/account/orgs.",
        needs="org",
    )


async def _check_org(request: Request, tenant_id: str, org_id: str) -> None:
    plane = request.app.state.control
    if not org_id:
        return
    assert isinstance(plane, ControlPlane)
    with database_told(plane):
        async with plane.database.reading() as session:
            if await directory.org(session, tenant_id, org_id) is None:
                raise NotFound("There is no such org; list them at /api/v1/orgs.")


PrincipalDep = Annotated[Principal, Depends(_principal)]


async def _org_member(principal: PrincipalDep) -> Principal:
    roles.require_org(principal, "This")
    return principal


#: A caller that means one org: what `/account` and `/wallet` are about.
OrgMemberDep = Annotated[Principal, Depends(_org_member)]
