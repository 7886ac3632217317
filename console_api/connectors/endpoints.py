"""`/api/v1/connector-kinds` and `/api/v1/instances/{id}/connectors…`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from console_api.auth.service import PrincipalDep
from console_api.connectors import service
from console_api.connectors.models import (
    Catalogue,
    ConnectorChange,
    ConnectorList,
    ConnectorView,
    NewConnector,
    TestView,
)
from console_api.connectors.running import OutboundDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep

router = APIRouter(prefix="/api/v1", tags=["connectors"])

InstanceId = Annotated[str, Path(min_length=1, max_length=128, examples=["inst_1"])]
ConnectorId = Annotated[str, Path(min_length=1, max_length=128, examples=["conn_01kav3"])]


@router.get("/connector-kinds", summary="The kinds of connectors, with what each has to be told")
async def kinds(principal: PrincipalDep) -> Catalogue:
    return service.catalogue()


@router.get("/instances/{instance_id}/connectors", summary="The connectors of an instance")
async def connectors(
    instance_id: InstanceId, session: ReadDep, outbound: OutboundDep, principal: PrincipalDep
) -> ConnectorList:
    return await service.listed(session, outbound, principal, instance_id)


@router.post("/instances/{instance_id}/connectors", status_code=201, summary="Add a connector")
async def create(
    *,
    instance_id: InstanceId,
    wanted: NewConnector,
    session: WriteDep,
    control: ControlDep,
    outbound: OutboundDep,
    principal: PrincipalDep,
) -> ConnectorView:
    return await service.create(session, control, outbound, principal, instance_id, wanted=wanted)


@router.get("/instances/{instance_id}/connectors/{connector_id}", summary="A connector")
async def connector(
    instance_id: InstanceId, connector_id: ConnectorId, session: ReadDep, principal: PrincipalDep
) -> ConnectorView:
    return await service.one(session, principal, instance_id, connector_id)


@router.patch(
    "/instances/{instance_id}/connectors/{connector_id}", summary="Change it, or switch it on or off"
)
async def change(
    *,
    instance_id: InstanceId,
    connector_id: ConnectorId,
    wanted: ConnectorChange,
    session: WriteDep,
    control: ControlDep,
    outbound: OutboundDep,
    principal: PrincipalDep,
) -> ConnectorView:
    return await service.change(
        session, control, outbound, principal, instance_id, connector_id=connector_id, wanted=wanted
    )


@router.delete(
    "/instances/{instance_id}/connectors/{connector_id}",
    status_code=204,
    summary="Delete it with its credentials",
)
async def delete(
    instance_id: InstanceId,
    connector_id: ConnectorId,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
) -> Response:
    await service.delete(session, control, principal, instance_id, connector_id)
    return Response(status_code=204)


@router.post(
    "/instances/{instance_id}/connectors/{connector_id}:test",
    summary="Try its credentials; changes nothing over there",
)
async def test(
    instance_id: InstanceId,
    connector_id: ConnectorId,
    control: ControlDep,
    outbound: OutboundDep,
    principal: PrincipalDep,
) -> TestView:
    return await service.test(control, outbound, principal, instance_id, connector_id)
