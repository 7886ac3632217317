"""From a channel's row to where it really leads: its secret opened, owners looked up."""

from __future__ import annotations

from typing import cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts import repository
from console_api.alerts.kinds import OWNERS, ChannelKind
from console_api.alerts.ways import NotTaken, Target
from console_api.control.vault import service as vault
from console_api.database.tables import AlertChannel
from kit.seal import CannotOpen, Seal

_decoder = msgspec.json.Decoder(dict[str, str])


def secret_name(channel_id: str) -> str:
    """Return what the channel's secret is called among the org's."""
    return f"alert-channel:{channel_id}"


async def target_of(session: AsyncSession, seal: Seal, org_id: str, channel_id: str) -> Target:
    """Return a channel, opened. Raises `NotTaken` (final) for one that is gone, off, or cannot be opened."""
    if channel_id == OWNERS:
        return Target("email", {"addresses": await repository.owners(session, org_id)})
    row = await repository.channel(session, org_id, channel_id)
    if row is None:
        raise NotTaken("The channel was removed.", final=True)
    if not row.enabled:
        raise NotTaken("The channel is switched off.", final=True)
    return await opened(session, seal, row)


async def opened(session: AsyncSession, seal: Seal, row: AlertChannel) -> Target:
    """Return a channel with its secret. Raises `NotTaken` (final) if it cannot be opened any more."""
    kind = cast(ChannelKind, row.kind)
    if kind == "email":
        return Target(kind, row.settings)
    try:
        value = await vault.read(session, seal, row.tenant_id, secret_name(row.channel_id), org_id=row.org_id)
    except CannotOpen:
        value = None
    if value is None:
        raise NotTaken("Its credentials cannot be read any more; set them again.", final=True)
    return Target(kind, row.settings, _decoder.decode(value))
