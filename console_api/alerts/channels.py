"""What may be done with channels. What opens one is sealed as it comes in, and never comes out."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts import repository
from console_api.alerts.kinds import OWNERS, ChannelKind
from console_api.alerts.models import (
    ChannelChange,
    ChannelList,
    ChannelTest,
    ChannelView,
    MadeChannel,
    NewEmail,
    NewSlack,
    NewWebhook,
)
from console_api.alerts.targets import opened, secret_name
from console_api.alerts.ways import NotTaken
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.errors import Conflict
from console_api.control.plane import ControlPlane
from console_api.control.vault import service as vault
from console_api.database.tables import AlertChannel
from kit.clock import new_id
from kit.connectors.port import BadSettings
from kit.connectors.webhook import signing_key
from kit.problems import InvalidRequest, NotFound
from kit.settings import AlertSettings

_SECRET_BYTES = 32
#: Which fields of a change fit which kind.
_FIELDS: Mapping[str, frozenset[str]] = {
    "email": frozenset({"addresses"}),
    "slack": frozenset({"webhook_url", "bot_token", "channel"}),
    "webhook": frozenset({"url", "secret"}),
}
_SHARED = frozenset({"name", "enabled"})


@dataclass(frozen=True)
class _Parts:
    """A channel taken apart: what may be shown, and what is sealed."""

    settings: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)


async def listed(
    session: AsyncSession, principal: Principal, settings: AlertSettings, *, mails: bool
) -> ChannelList:
    """Return the org's channels. `mails`: whether a mail server is set up."""
    owners = await repository.owners(session, principal.org_id)
    rows = await repository.channels(session, principal.org_id)
    return ChannelList(
        channels=[_owners(owners, mails=mails), *(view(row, mails=mails) for row in rows)],
        max_channels=settings.max_channels,
    )


async def create(
    session: AsyncSession,
    control: ControlPlane,
    principal: Principal,
    settings: AlertSettings,
    wanted: NewEmail | NewSlack | NewWebhook,
    *,
    mails: bool,
) -> MadeChannel:
    """Make a channel. Raises `Forbidden`, `InvalidRequest`, `Conflict` when there are enough."""
    may_change(principal)
    await repository.lock_org(session, principal.org_id)
    if len(await repository.channels(session, principal.org_id)) >= settings.max_channels:
        raise Conflict(f"An org has at most {settings.max_channels} channels; remove one.")
    made_secret = None
    if isinstance(wanted, NewWebhook) and wanted.secret is None:
        made_secret = f"whsec_{b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
        wanted = wanted.model_copy(update={"secret": made_secret})
    parts, now_ms = _parts(wanted, settings), control.clock()
    row = AlertChannel(
        channel_id=new_id("ach"),
        tenant_id=principal.tenant_id,
        org_id=principal.org_id,
        kind=wanted.kind,
        name=wanted.name,
        enabled=True,
        settings=parts.settings,
        created_by=principal.subject,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        version=1,
        tested_at_ms=0,
        test_passed=False,
        test_said="",
    )
    repository.add_channel(session, row)
    await _keep(session, control, row, parts, principal.subject)
    record(session, row, principal.subject, "alert_channel.create", now_ms, name=row.name, kind=row.kind)
    return MadeChannel(**view(row, mails=mails).model_dump(), signing_secret=made_secret)


async def change(
    session: AsyncSession,
    control: ControlPlane,
    principal: Principal,
    settings: AlertSettings,
    channel_id: str,
    *,
    wanted: ChannelChange,
    mails: bool,
) -> ChannelView:
    """Change a channel. Raises `Forbidden`, `NotFound`, `InvalidRequest`, `Conflict`."""
    may_change(principal)
    row = await own(session, principal, channel_id, lock=True)
    given = wanted.model_dump(exclude_none=True)
    foreign = sorted(set(given) - _SHARED - _FIELDS[row.kind])
    if foreign:
        raise InvalidRequest(f"{foreign[0]}: a channel of the kind {row.kind} has none.")
    row.name, row.enabled = given.get("name", row.name), given.get("enabled", row.enabled)
    if set(given) & _FIELDS[row.kind]:
        parts = await _changed(session, control, settings, row, given)
        row.settings = parts.settings
        await _keep(session, control, row, parts, principal.subject)
    row.version += 1
    row.updated_at_ms = control.clock()
    row.tested_at_ms, row.test_passed, row.test_said = 0, False, ""
    changed = sorted(given)
    record(session, row, principal.subject, "alert_channel.change", row.updated_at_ms, fields=changed)
    return view(row, mails=mails)


async def delete(session: AsyncSession, control: ControlPlane, principal: Principal, channel_id: str) -> None:
    """Remove a channel with its secret. Messages that wait for it are given up, saying so."""
    may_change(principal)
    row = await own(session, principal, channel_id, lock=True)
    now_ms = control.clock()
    await vault.forget(
        session,
        row.tenant_id,
        secret_name(channel_id),
        org_id=row.org_id,
        actor=principal.subject,
        at_ms=now_ms,
    )
    await repository.delete_channel(session, row)
    record(session, row, principal.subject, "alert_channel.delete", now_ms, name=row.name)


async def own(
    session: AsyncSession, principal: Principal, channel_id: str, *, lock: bool = False
) -> AlertChannel:
    """Return a channel of the caller's org. Raises `NotFound`, `Conflict` for the built-in one."""
    if channel_id == OWNERS:
        raise Conflict("The org's owners are always there; leave them out of a rule instead.")
    row = await repository.channel(session, principal.org_id, channel_id, lock=lock)
    if row is None:
        raise NotFound("There is no such channel; list yours at /api/v1/alerts/channels.")
    return row


def may_change(principal: Principal) -> None:
    """Raise `Forbidden` unless the caller may say who is told what."""
    roles.require(principal, "admin", "To change alerts")


def view(row: AlertChannel, *, mails: bool) -> ChannelView:
    """Return a channel as its org may see it."""
    tested = ChannelTest(passed=row.test_passed, said=row.test_said, at_ms=row.tested_at_ms)
    kind = cast(ChannelKind, row.kind)
    return ChannelView(
        channel_id=row.channel_id,
        kind=kind,
        name=row.name,
        enabled=row.enabled,
        built_in=False,
        target=_target(kind, row.settings),
        usable=mails or kind != "email",
        last_test=tested if row.tested_at_ms else None,
        created_by=row.created_by,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
    )


def record(
    session: AsyncSession, row: AlertChannel, actor: str, action: str, at_ms: int, **details: object
) -> None:
    """Write an entry about a channel into the audit log."""
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=actor,
        action=action,
        target=("alert_channel", row.channel_id),
        at_ms=at_ms,
        **details,
    )


def _owners(addresses: list[str], *, mails: bool) -> ChannelView:
    return ChannelView(
        channel_id=OWNERS,
        kind="email",
        name="Owners",
        enabled=True,
        built_in=True,
        target=", ".join(addresses),
        usable=mails and bool(addresses),
        last_test=None,
        created_by="",
        created_at_ms=0,
        updated_at_ms=0,
    )


def _target(kind: ChannelKind, settings: Mapping[str, Any]) -> str:
    match kind:
        case "email":
            return ", ".join(settings["addresses"])
        case "slack":
            return str(settings.get("channel", "Incoming webhook"))
        case _:
            return str(settings["url"])


def _parts(wanted: NewEmail | NewSlack | NewWebhook, settings: AlertSettings) -> _Parts:
    """Take a channel apart. Raises `InvalidRequest` for one that leads nowhere."""
    match wanted:
        case NewEmail():
            return _Parts({"addresses": list(dict.fromkeys(wanted.addresses))})
        case NewSlack():
            return _slack_parts(wanted, settings)
        case _:
            assert wanted.secret is not None
            try:
                signing_key(wanted.secret)
                parts = urlsplit(wanted.url)
                shown = (
                    f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
                )
            except (BadSettings, ValueError) as error:
                raise InvalidRequest(f"url, secret: {error}") from None
            # Without what stands behind a ?, which may be a token.
            return _Parts({"url": shown}, {"url": wanted.url, "secret": wanted.secret})


def _slack_parts(wanted: NewSlack, settings: AlertSettings) -> _Parts:
    by_bot = wanted.bot_token is not None and wanted.channel is not None
    if (wanted.webhook_url is not None) == by_bot or (wanted.webhook_url and wanted.bot_token):
        raise InvalidRequest("Give webhook_url, or bot_token with channel.")
    if wanted.webhook_url is not None:
        if not wanted.webhook_url.startswith(settings.slack_hooks_url):
            raise InvalidRequest(f"webhook_url: Slack's begin with {settings.slack_hooks_url}.")
        return _Parts({}, {"webhook_url": wanted.webhook_url})
    assert wanted.bot_token is not None
    return _Parts({"channel": wanted.channel}, {"bot_token": wanted.bot_token})


async def _changed(
    session: AsyncSession,
    control: ControlPlane,
    settings: AlertSettings,
    row: AlertChannel,
    given: Mapping[str, Any],
) -> _Parts:
    """Return a channel's parts with what was given over what it had."""
    fields = {name: value for name, value in given.items() if name in _FIELDS[row.kind]}
    if row.kind == "email":
        return _parts(NewEmail(kind="email", name=row.name, **fields), settings)
    try:
        had: dict[str, Any] = dict((await opened(session, control.seal, row)).secrets)
    except NotTaken as error:
        # Then all of it has to come anew.
        if not fields.keys() >= _needs(row.kind, fields):
            raise Conflict(str(error)) from None
        had = {}
    if row.kind == "webhook":
        return _parts(NewWebhook(kind="webhook", name=row.name, **{**had, **fields}), settings)
    had = {**had, **{name: value for name, value in row.settings.items() if name == "channel"}}
    if "webhook_url" in fields:
        had = {}
    elif fields:
        had.pop("webhook_url", None)
    return _parts(NewSlack(kind="slack", name=row.name, **{**had, **fields}), settings)


def _needs(kind: str, fields: Mapping[str, Any]) -> set[str]:
    if kind == "webhook":
        return {"url", "secret"}
    return {"webhook_url"} if "webhook_url" in fields else {"bot_token", "channel"}


async def _keep(
    session: AsyncSession, control: ControlPlane, row: AlertChannel, parts: _Parts, actor: str
) -> None:
    if parts.secrets:
        await vault.keep(
            session,
            control.seal,
            row.tenant_id,
            secret_name(row.channel_id),
            msgspec.json.encode(parts.secrets).decode(),
            org_id=row.org_id,
            actor=actor,
            at_ms=control.clock(),
        )
