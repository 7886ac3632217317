"""What may be done with keys. Each call is one transaction, its caller's."""

from __future__ import annotations

from typing import cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.errors import Conflict
from console_api.control.outbox import service as outbox
from console_api.control.projections.records import instance_record
from console_api.database.tables import ApiKey, Instance
from console_api.instances.owned import own_instance
from console_api.keys import repository
from console_api.keys.models import (
    Active,
    EntitlementsView,
    Inactive,
    Key,
    KeyChange,
    KeyPage,
    KeyStatus,
    LimitsView,
    NewKey,
    ShownKey,
)
from kit import api_keys
from kit.problems import InvalidRequest, NotFound
from schemas.directory import InstanceRecord, KeyKind, KeyScope

#: Live keys an instance may have; a bound, not a price.
MAX_LIVE_KEYS = 100


async def page(
    session: AsyncSession,
    principal: Principal,
    instance_id: str,
    limit: int,
    cursor: str | None,
    *,
    now_ms: int,
) -> KeyPage:
    """Return a page of an instance's keys, newest first. Raises `NotFound` for another's instance."""
    await own_instance(session, principal, instance_id)
    after = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.page(session, instance_id, after, limit + 1)
    shown = rows[:limit]
    return KeyPage(
        api_keys=[_view(row, now_ms) for row in shown],
        next_cursor=cursors.encode((shown[-1].created_at_ms, shown[-1].key_id))
        if len(rows) > limit
        else None,
    )


async def create(
    session: AsyncSession, principal: Principal, instance_id: str, wanted: NewKey, now_ms: int
) -> ShownKey:
    """Make a key. Raises `Forbidden`, `NotFound`, `InvalidRequest`, `Conflict`."""
    _may_change(principal)
    if 0 < wanted.expires_at_ms <= now_ms:
        raise InvalidRequest("The key would have expired already; give a later expires_at_ms, or 0.")
    owner = await own_instance(session, principal, instance_id, lock=True)
    row, key = await mint(session, owner, wanted, actor=principal.subject, at_ms=now_ms)
    return _shown(row, key, now_ms)


async def mint(
    session: AsyncSession, instance: Instance, wanted: NewKey, *, actor: str, at_ms: int, key: str = ""
) -> tuple[ApiKey, str]:
    """Make a key of a locked instance; return it and its text. What provisioning calls; `key`: a given text.

    Raises `Conflict` when the instance has ended or has too many keys.
    """
    if instance.status == "ended":
        raise Conflict("The instance has ended; its keys open nothing.")
    if await repository.count_live(session, instance.instance_id, at_ms) >= MAX_LIVE_KEYS:
        raise Conflict(f"An instance has at most {MAX_LIVE_KEYS} live keys; revoke one of them.")
    row, text = _new_row(instance, wanted, actor, at_ms, key)
    repository.add(session, row)
    await outbox.project(session, "api_key", row.digest, at_ms)
    _audit(session, row, actor, "api_key.create", at_ms, kind=row.kind, name=row.name)
    return row, text


async def change(
    session: AsyncSession,
    principal: Principal,
    instance_id: str,
    key_id: str,
    asked: KeyChange,
    *,
    now_ms: int,
) -> Key:
    """Give a live key another name, or a widget's key other origins, which count at once."""
    _may_change(principal)
    await own_instance(session, principal, instance_id)
    row = await _key(session, instance_id, key_id)
    if _status(row, now_ms) != "active":
        raise Conflict(f"The key is {_status(row, now_ms)}; create a new one.")
    if asked.allowed_origins is not None:
        if row.kind != "widget":
            raise InvalidRequest("Only a widget's key has allowed_origins.")
        row.allowed_origins = tuple(dict.fromkeys(asked.allowed_origins))
    row.name = asked.name or row.name
    row.version += 1
    await outbox.project(session, "api_key", row.digest, now_ms)
    _audit(
        session, row, principal.subject, "api_key.change", now_ms, name=row.name, origins=row.allowed_origins
    )
    return _view(row, now_ms)


async def own_key(session: AsyncSession, principal: Principal, instance_id: str, key_id: str) -> ApiKey:
    """Return a key of the caller's instance. Raises `NotFound`."""
    await own_instance(session, principal, instance_id)
    return await _key(session, instance_id, key_id)


async def rotate(
    session: AsyncSession, principal: Principal, instance_id: str, key_id: str, grace_s: int, *, now_ms: int
) -> ShownKey:
    """Replace a live key by one like it; the old one stays valid for the grace period."""
    _may_change(principal)
    owner = await own_instance(session, principal, instance_id, lock=True)
    old = await _key(session, instance_id, key_id)
    if _status(old, now_ms) != "active":
        raise Conflict(f"The key is {_status(old, now_ms)}; create a new one.")
    if await repository.was_rotated(session, key_id):
        raise Conflict("The key was rotated before; rotate its successor.")
    wanted = NewKey(
        kind=cast(KeyKind, old.kind),
        name=old.name,
        scopes=cast("list[KeyScope]", list(old.scopes)),
        allowed_origins=list(old.allowed_origins),
        expires_at_ms=old.expires_at_ms,
    )
    row, key = _new_row(owner, wanted, principal.subject, now_ms, "")
    row.rotated_from = old.key_id
    repository.add(session, row)
    ends_at_ms = now_ms + grace_s * 1000
    old.expires_at_ms = min(old.expires_at_ms or ends_at_ms, ends_at_ms)
    old.version += 1
    await outbox.project_many(session, "api_key", (row.digest, old.digest), now_ms)
    _audit(session, old, principal.subject, "api_key.rotate", now_ms, successor=row.key_id, grace_s=grace_s)
    return _shown(row, key, now_ms)


async def revoke(
    session: AsyncSession, principal: Principal, instance_id: str, key_id: str, now_ms: int
) -> None:
    """Revoke a key at once and for good. Doing it again changes nothing."""
    _may_change(principal)
    await own_instance(session, principal, instance_id)
    row = await _key(session, instance_id, key_id)
    if row.revoked_at_ms:
        return
    row.revoked_at_ms = now_ms
    row.version += 1
    await outbox.project(session, "api_key", row.digest, now_ms)
    _audit(session, row, principal.subject, "api_key.revoke", now_ms)


async def introspect(session: AsyncSession, tenant_id: str, key: str, now_ms: int) -> Active | Inactive:
    """Return whose key it is, if it opens anything; only of the tenant's keys, unless that is empty.

    One look-up by digest, whatever the key: neither answer nor time tell why one is not active.
    """
    found = await repository.by_digest(session, api_keys.digest(key))
    if found is None:
        return Inactive()
    row, instance, config, plan, stopped = found
    foreign = bool(tenant_id) and row.tenant_id != tenant_id
    if foreign or stopped or instance.status != "active" or _status(row, now_ms) != "active":
        return Inactive()
    return Active(
        key_id=row.key_id,
        kind=cast(KeyKind, row.kind),
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        instance_id=row.instance_id,
        scopes=list(row.scopes),
        allowed_origins=list(row.allowed_origins),
        expires_at_ms=row.expires_at_ms,
        entitlements=_entitlements(instance_record(instance, config, plan)),
    )


def _entitlements(record: InstanceRecord) -> EntitlementsView:
    return EntitlementsView(
        models=list(record.models),
        default_model=record.default_model,
        tools=list(record.tools),
        channels=list(record.channels),
        max_output_tokens=record.max_output_tokens,
        limits=LimitsView.model_validate(msgspec.to_builtins(record.limits)),
    )


def _may_change(principal: Principal) -> None:
    roles.require(principal, "member", "To change keys")


async def _key(session: AsyncSession, instance_id: str, key_id: str) -> ApiKey:
    row = await repository.locked_key(session, instance_id, key_id)
    if row is None:
        raise NotFound("The instance has no such key.")
    return row


def _new_row(instance: Instance, wanted: NewKey, actor: str, at_ms: int, given: str) -> tuple[ApiKey, str]:
    minted = api_keys.parse(given) if given else api_keys.mint(api_keys.PREFIXES[wanted.kind])
    row = ApiKey(
        key_id=minted.key_id,
        digest=minted.digest,
        tenant_id=instance.tenant_id,
        org_id=instance.org_id,
        instance_id=instance.instance_id,
        kind=wanted.kind,
        name=wanted.name,
        scopes=tuple(dict.fromkeys(wanted.scopes)),
        allowed_origins=tuple(dict.fromkeys(wanted.allowed_origins)),
        rotated_from=None,
        created_by=actor,
        created_at_ms=at_ms,
        expires_at_ms=wanted.expires_at_ms,
        revoked_at_ms=0,
        last_used_at_ms=0,
        version=1,
    )
    return row, minted.key


def _status(row: ApiKey, now_ms: int) -> KeyStatus:
    if row.revoked_at_ms:
        return "revoked"
    return "expired" if 0 < row.expires_at_ms <= now_ms else "active"


def _view(row: ApiKey, now_ms: int) -> Key:
    kind = cast(KeyKind, row.kind)
    return Key(
        key_id=row.key_id,
        kind=kind,
        name=row.name,
        prefix=f"rm_{api_keys.PREFIXES[kind]}_{row.key_id.removeprefix('key_')}_",
        scopes=list(row.scopes),
        allowed_origins=list(row.allowed_origins),
        status=_status(row, now_ms),
        created_at_ms=row.created_at_ms,
        created_by=row.created_by,
        expires_at_ms=row.expires_at_ms,
        revoked_at_ms=row.revoked_at_ms,
        last_used_at_ms=row.last_used_at_ms,
        rotated_from=row.rotated_from,
    )


def _shown(row: ApiKey, key: str, now_ms: int) -> ShownKey:
    return ShownKey(key=key, **_view(row, now_ms).model_dump())


def _audit(
    session: AsyncSession, row: ApiKey, actor: str, action: str, at_ms: int, **details: object
) -> None:
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=actor,
        action=action,
        target=("api_key", row.key_id),
        at_ms=at_ms,
        instance_id=row.instance_id,
        **details,
    )
