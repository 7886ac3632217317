"""`/api/v1/alerts…`: where an org is told what, and what it was told."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from console_api.alerts import channels, rules, service, trying
from console_api.alerts.kinds import AlertKind
from console_api.alerts.models import (
    AlertPage,
    ChannelChange,
    ChannelList,
    ChannelTest,
    ChannelView,
    DeliveryView,
    MadeChannel,
    NewChannel,
    RuleChange,
    RuleList,
    RuleView,
)
from console_api.alerts.running import AlertsDep
from console_api.auth.service import OrgMemberDep
from console_api.control.plane import ControlDep, ReadDep, WriteDep

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])

ChannelId = Annotated[str, Path(min_length=1, max_length=128, examples=["ach_01kav3"])]
DeliveryId = Annotated[str, Path(min_length=1, max_length=128, examples=["adl_01kav3"])]


@router.get("", summary="What your org was told, newest first")
async def told(
    session: ReadDep,
    principal: OrgMemberDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> AlertPage:
    return await service.page(session, principal, limit, cursor)


@router.get("/channels", summary="The channels of your org")
async def listed(session: ReadDep, alerts: AlertsDep, principal: OrgMemberDep) -> ChannelList:
    return await channels.listed(session, principal, alerts.settings, mails=alerts.ways.mails)


@router.post("/channels", status_code=201, summary="Add a channel (admins)")
async def create(
    wanted: NewChannel, session: WriteDep, control: ControlDep, alerts: AlertsDep, principal: OrgMemberDep
) -> MadeChannel:
    return await channels.create(
        session, control, principal, alerts.settings, wanted, mails=alerts.ways.mails
    )


@router.patch("/channels/{channel_id}", summary="Change it, or switch it on or off (admins)")
async def change(
    *,
    channel_id: ChannelId,
    wanted: ChannelChange,
    session: WriteDep,
    control: ControlDep,
    alerts: AlertsDep,
    principal: OrgMemberDep,
) -> ChannelView:
    return await channels.change(
        session, control, principal, alerts.settings, channel_id, wanted=wanted, mails=alerts.ways.mails
    )


@router.delete("/channels/{channel_id}", status_code=204, summary="Remove it with its secret (admins)")
async def delete(
    channel_id: ChannelId, session: WriteDep, control: ControlDep, principal: OrgMemberDep
) -> Response:
    await channels.delete(session, control, principal, channel_id)
    return Response(status_code=204)


@router.post("/channels/{channel_id}:test", summary="Send a test message (admins)")
async def test(
    channel_id: ChannelId, control: ControlDep, alerts: AlertsDep, principal: OrgMemberDep
) -> ChannelTest:
    return await trying.test(control, alerts.ways, alerts.tries, principal, channel_id)


@router.get("/rules", summary="What your org is told, and where")
async def all_rules(session: ReadDep, principal: OrgMemberDep) -> RuleList:
    return await rules.listed(session, principal)


@router.put("/rules/{kind}", summary="Set a rule (admins)")
async def put_rule(
    kind: AlertKind, wanted: RuleChange, session: WriteDep, control: ControlDep, principal: OrgMemberDep
) -> RuleView:
    return await rules.change(session, principal, kind, wanted, control.clock())


@router.post("/deliveries/{delivery_id}:retry", summary="Try a message again that was given up (admins)")
async def retry(
    delivery_id: DeliveryId, session: WriteDep, control: ControlDep, principal: OrgMemberDep
) -> DeliveryView:
    return await service.retry(session, principal, delivery_id, control.clock())
