"""`/api/v1/instances/{id}/api_keys…` and `POST /api/v1/api_keys:introspect`."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from console_api.auth import roles
from console_api.auth.service import PeopleDep, PrincipalDep, TokenDep, person_of
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.keys import blocked, service
from console_api.keys.models import (
    Active,
    BlockedOrigins,
    Inactive,
    Introspection,
    Key,
    KeyChange,
    KeyPage,
    NewKey,
    Rotation,
    ShownKey,
)
from console_api.pace import Pace
from console_api.stores import StoresDep
from kit.problems import Forbidden, TooManyRequests, Unauthorized

router = APIRouter(prefix="/api/v1", tags=["API keys"])

InstanceId = Annotated[str, Path(min_length=1, max_length=128, examples=["inst_1"])]
KeyId = Annotated[str, Path(min_length=1, max_length=128, examples=["key_k3v9a2x8pq"])]


@router.get("/instances/{instance_id}/api_keys", summary="The keys of an instance, newest first")
async def api_keys(
    *,
    instance_id: InstanceId,
    session: ReadDep,
    control: ControlDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> KeyPage:
    return await service.page(session, principal, instance_id, limit, cursor, now_ms=control.clock())


@router.post(
    "/instances/{instance_id}/api_keys", status_code=201, summary="Make a key; it is shown once, here"
)
async def create(
    instance_id: InstanceId, wanted: NewKey, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> ShownKey:
    return await service.create(session, principal, instance_id, wanted, control.clock())


@router.patch("/instances/{instance_id}/api_keys/{key_id}", summary="Rename a key, or change its origins")
async def change(
    instance_id: InstanceId,
    key_id: KeyId,
    asked: KeyChange,
    *,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> Key:
    return await service.change(session, principal, instance_id, key_id, asked, now_ms=control.clock())


@router.get(
    "/instances/{instance_id}/api_keys/{key_id}/blocked_origins",
    summary="Pages that tried a widget's key in vain",
)
async def blocked_origins(
    instance_id: InstanceId, key_id: KeyId, session: ReadDep, stores: StoresDep, principal: PrincipalDep
) -> BlockedOrigins:
    return await blocked.read(stores, await service.own_key(session, principal, instance_id, key_id))


@router.delete("/instances/{instance_id}/api_keys/{key_id}", status_code=204, summary="Revoke a key at once")
async def revoke(
    instance_id: InstanceId, key_id: KeyId, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> Response:
    await service.revoke(session, principal, instance_id, key_id, control.clock())
    return Response(status_code=204)


@router.post(
    "/instances/{instance_id}/api_keys/{key_id}:rotate",
    status_code=201,
    summary="Replace a key; the old one stays valid for a while",
)
async def rotate(
    *,
    instance_id: InstanceId,
    key_id: KeyId,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    rotation: Rotation | None = None,
) -> ShownKey:
    grace_s = (rotation or Rotation()).grace_s
    return await service.rotate(session, principal, instance_id, key_id, grace_s, now_ms=control.clock())


async def _tenant_asked_for(
    people: PeopleDep, stores: StoresDep, control: ControlDep, token: TokenDep
) -> str:
    """Return whose keys the caller may look into; empty for everybody's (the service token)."""
    known = control.settings.service_token.get_secret_value()
    # Of digests, so that neither the time nor the length says anything.
    same = compare_digest(sha256(token.encode()).digest(), sha256(known.encode()).digest())
    if known and same:
        return _at_pace(control.introspections, "")
    try:
        person = await person_of(people, stores, token)
    except Unauthorized:
        _at_pace(control.wrong_introspections, "")
        raise
    of_tenant = any(not place.org_id and roles.includes(place.role, "member") for place in person.orgs)
    if not person.is_operator and not of_tenant:
        raise Forbidden("Introspection is for services; use the service token, or a tenant's own.")
    return _at_pace(control.introspections, person.tenant_id)


def _at_pace(pace: Pace, tenant_id: str) -> str:
    """Return whose keys are asked for, unless they are asked for too often."""
    if not pace.allows(tenant_id):
        raise TooManyRequests("Ask again in a second; keep answers for some.", headers={"Retry-After": "1"})
    return tenant_id


TenantAskedForDep = Annotated[str, Depends(_tenant_asked_for)]


@router.post("/api_keys:introspect", summary="Whose key is it, and what does it open?")
async def introspect(
    asked: Introspection, session: ReadDep, control: ControlDep, tenant_id: TenantAskedForDep
) -> Active | Inactive:
    return await service.introspect(session, tenant_id, asked.key, control.clock())
