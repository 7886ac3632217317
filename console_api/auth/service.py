"""From a bearer token to a principal: the one seam that a further way of signing in replaces."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from console_api.auth import repository
from console_api.auth.models import Principal
from console_api.stores import Stores, StoresDep
from kit.problems import Forbidden, Unauthorized

_bearer = HTTPBearer(auto_error=False, description="An access token of your org.")
_REMEDY = "Send `Authorization: Bearer <access token>` with a token that is still valid."


async def principal_of(stores: Stores, token: str) -> Principal | None:
    """Return whom the token speaks for, `None` when it is unknown or revoked. Raises `RedisError`."""
    record = await repository.token_record(stores, sha256(token.encode()).hexdigest())
    if record is None:
        return None
    return Principal(record.subject, record.tenant_id, record.org_id, record.role)


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    if credentials is None or not credentials.credentials:
        raise Unauthorized(_REMEDY, headers={"WWW-Authenticate": "Bearer"})
    return credentials.credentials


TokenDep = Annotated[str, Depends(_token)]


async def _principal(stores: StoresDep, token: TokenDep) -> Principal:
    principal = await principal_of(stores, token)
    if principal is None:
        raise Unauthorized(_REMEDY, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    return principal


PrincipalDep = Annotated[Principal, Depends(_principal)]


async def _org_member(principal: PrincipalDep) -> Principal:
    if not principal.org_id:
        raise Forbidden("This token speaks for a whole tenant; use the token of one org.")
    return principal


#: A caller that belongs to one org: what `/account` and `/wallet` are about.
OrgMemberDep = Annotated[Principal, Depends(_org_member)]
