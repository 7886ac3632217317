"""`/api/v1/instances/{id}/config`, an operator's suspending of an instance, and its end."""

from __future__ import annotations

from fastapi import APIRouter, Response

from console_api.auth.service import PrincipalDep
from console_api.configuration import service
from console_api.configuration.models import ConfigTerms, ConfigView, Reason
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.etags import ReadVersionDep, tag
from console_api.instances import ending
from console_api.instances.models import Ended
from console_api.instances.service import InstanceId
from console_api.orders.endpoints import ProvidersDep

router = APIRouter(prefix="/api/v1", tags=["instances"])

_END = """\
Owners and admins. Its keys stop working and nothing more is collected for it, at once; no money is returned,
and the org keeps its credits. Credentials of connectors are forgotten, and its knowledge is deleted some days
later.
"""


@router.get("/instances/{instance_id}/config", summary="What the instance's owners decided")
async def config(
    instance_id: InstanceId, session: ReadDep, principal: PrincipalDep, response: Response
) -> ConfigView:
    view = await service.read(session, principal, instance_id)
    tag(response, view.version)
    return view


@router.put("/instances/{instance_id}/config", summary="Replace the configuration; gateways follow at once")
async def put_config(
    *,
    instance_id: InstanceId,
    terms: ConfigTerms,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    expected: ReadVersionDep,
    response: Response,
) -> ConfigView:
    view = await service.write(session, principal, instance_id, terms, expected, now_ms=control.clock())
    tag(response, view.version)
    return view


@router.post(
    "/instances/{instance_id}:end",
    summary="End an instance for good, and its subscription with it",
    description=_END,
)
async def end(
    instance_id: InstanceId, control: ControlDep, providers: ProvidersDep, principal: PrincipalDep
) -> Ended:
    return await ending.end(control, providers, principal, instance_id)


@router.post("/instances/{instance_id}:suspend", status_code=204, summary="Stop an instance (operators)")
async def suspend(
    *,
    instance_id: InstanceId,
    why: Reason,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> Response:
    await service.set_status(session, principal, instance_id, "suspended", why.reason, now_ms=control.clock())
    return Response(status_code=204)


@router.post("/instances/{instance_id}:resume", status_code=204, summary="Let it run again (operators)")
async def resume(
    *,
    instance_id: InstanceId,
    why: Reason,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> Response:
    await service.set_status(session, principal, instance_id, "active", why.reason, now_ms=control.clock())
    return Response(status_code=204)
