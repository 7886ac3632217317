"""What may be done with connectors.

Every change bumps the instance's version and has it projected, with the credentials sealed as they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.connectors import repository
from console_api.connectors.models import (
    Catalogue,
    ConnectorChange,
    ConnectorList,
    ConnectorView,
    KindView,
    NewConnector,
    TestView,
)
from console_api.control import audit
from console_api.control.directory import service as directory
from console_api.control.errors import Conflict
from console_api.control.plane import ControlPlane, reading, writing
from console_api.control.vault import service as vault
from console_api.database.tables import Connector
from console_api.instances.owned import own_instance
from kit.clock import new_id
from kit.connectors import KINDS
from kit.connectors.outbound import Outbound
from kit.connectors.port import BadSettings, ConnectorFailed, Kind, schema_of
from kit.problems import InvalidRequest, NotFound
from kit.seal import CannotOpen

_MAX_SAID = 500


def catalogue() -> Catalogue:
    """Return all kinds."""
    return Catalogue(
        kinds=[
            KindView(
                kind=kind.name,
                title=kind.title,
                description=kind.description,
                settings_schema=schema_of(kind.settings),
                credentials_schema=schema_of(kind.credentials),
                for_visitors=kind.for_visitors,
            )
            for kind in KINDS.values()
        ]
    )


async def listed(
    session: AsyncSession, outbound: Outbound, principal: Principal, instance_id: str
) -> ConnectorList:
    """Return an instance's connectors. Raises `NotFound` for another's instance."""
    await own_instance(session, principal, instance_id)
    rows = await repository.of_instance(session, instance_id)
    return ConnectorList(
        connectors=[_view(row) for row in rows], max_connectors=outbound.settings.max_per_instance
    )


async def one(
    session: AsyncSession, principal: Principal, instance_id: str, connector_id: str
) -> ConnectorView:
    """Return one connector. Raises `NotFound`."""
    await own_instance(session, principal, instance_id)
    return _view(await _connector(session, instance_id, connector_id))


async def create(
    session: AsyncSession,
    control: ControlPlane,
    outbound: Outbound,
    principal: Principal,
    instance_id: str,
    *,
    wanted: NewConnector,
) -> ConnectorView:
    """Make a connector. Raises `Forbidden`, `NotFound`, `InvalidRequest`, `Conflict`."""
    _may_change(principal)
    owner = await own_instance(session, principal, instance_id, lock=True)
    if owner.status == "ended":
        raise Conflict("The instance has ended; it calls nothing any more.")
    if await repository.count(session, instance_id) >= outbound.settings.max_per_instance:
        raise Conflict(
            f"An instance has at most {outbound.settings.max_per_instance} connectors; delete one."
        )
    if wanted.kind not in KINDS:
        raise InvalidRequest(f"There is no such kind; choose one of {', '.join(KINDS)}.")
    kind, now_ms = KINDS[wanted.kind], control.clock()
    row = Connector(
        connector_id=new_id("conn"),
        tenant_id=owner.tenant_id,
        org_id=owner.org_id,
        instance_id=instance_id,
        kind=kind.name,
        name=wanted.name,
        enabled=wanted.enabled,
        for_visitors=kind.for_visitors if wanted.for_visitors is None else wanted.for_visitors,
        version=1,
        created_by=principal.subject,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    _forget_test(row)
    row.settings = _reduced(kind, wanted.settings)
    credentials = _made(row, wanted.credentials, outbound)
    row.secret_id = await _keep(session, control, row, credentials, principal.subject)
    repository.add(session, row)
    await directory.changed(session, owner, now_ms)
    _audit(session, row, principal.subject, "connector.create", now_ms, for_visitors=row.for_visitors)
    return _view(row)


async def change(
    session: AsyncSession,
    control: ControlPlane,
    outbound: Outbound,
    principal: Principal,
    instance_id: str,
    *,
    connector_id: str,
    wanted: ConnectorChange,
) -> ConnectorView:
    """Change a connector. Raises `Forbidden`, `NotFound`, `InvalidRequest`."""
    _may_change(principal)
    owner = await own_instance(session, principal, instance_id, lock=True)
    row = await _connector(session, instance_id, connector_id, lock=True)
    kind, now_ms = KINDS[row.kind], control.clock()
    row.name = wanted.name or row.name
    row.enabled = row.enabled if wanted.enabled is None else wanted.enabled
    row.for_visitors = row.for_visitors if wanted.for_visitors is None else wanted.for_visitors
    if wanted.settings is not None:
        row.settings = _reduced(kind, wanted.settings)
    if (wanted.name, wanted.settings, wanted.credentials) != (None, None, None):
        opened = await _opened(session, control, row) if wanted.credentials is None else wanted.credentials
        credentials = _made(row, opened, outbound)
        if wanted.credentials is not None:
            await _keep(session, control, row, credentials, principal.subject)
        _forget_test(row)
    row.version += 1
    row.updated_at_ms = now_ms
    await directory.changed(session, owner, now_ms)
    _audit(
        session,
        row,
        principal.subject,
        "connector.change",
        now_ms,
        enabled=row.enabled,
        for_visitors=row.for_visitors,
    )
    return _view(row)


async def delete(
    session: AsyncSession, control: ControlPlane, principal: Principal, instance_id: str, connector_id: str
) -> None:
    """Delete a connector and its credentials."""
    _may_change(principal)
    owner = await own_instance(session, principal, instance_id, lock=True)
    row = await _connector(session, instance_id, connector_id, lock=True)
    now_ms = control.clock()
    await forget(session, row, principal.subject, now_ms)
    await directory.changed(session, owner, now_ms)


async def forget(session: AsyncSession, row: Connector, actor: str, now_ms: int) -> None:
    """Delete a locked connector and its credentials; that its instance changed is for the caller to note."""
    await vault.forget(session, row.tenant_id, _secret(row), org_id=row.org_id, actor=actor, at_ms=now_ms)
    await repository.delete(session, row)
    _audit(session, row, actor, "connector.delete", now_ms)


async def test(
    control: ControlPlane, outbound: Outbound, principal: Principal, instance_id: str, connector_id: str
) -> TestView:
    """Try a connector without changing anything over there; no transaction is open meanwhile."""
    _may_change(principal)
    async with reading(control) as session:
        await own_instance(session, principal, instance_id)
        row = await _connector(session, instance_id, connector_id)
        version, kind = row.version, KINDS[row.kind]
        name, settings = row.name, row.settings
        credentials = await _opened(session, control, row)
    try:
        passed, said = True, await kind.connector(name, settings, credentials, outbound).test()
    except (ConnectorFailed, BadSettings) as error:
        passed, said = False, str(error)
    view = TestView(passed=passed, said=said[:_MAX_SAID], at_ms=control.clock())
    async with writing(control) as session:
        row = await _connector(session, instance_id, connector_id, lock=True)
        if row.version == version:
            row.tested_at_ms, row.test_passed, row.test_said = view.at_ms, view.passed, view.said
    return view


def _reduced(kind: Kind, settings: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return kind.reduced(settings)
    except BadSettings as error:
        raise InvalidRequest(f"settings: {error}") from None


def _made(row: Connector, credentials: Mapping[str, Any], outbound: Outbound) -> dict[str, Any]:
    """Note which tools the connector has; return its credentials, checked. Raises `InvalidRequest`."""
    kind = KINDS[row.kind]
    try:
        checked = kind.checked_credentials(credentials)
        made = kind.connector(row.name, row.settings, checked, outbound)
    except BadSettings as error:
        raise InvalidRequest(f"credentials: {error}") from None
    row.tools = tuple(action.name for action in made.actions())
    return checked


async def _keep(
    session: AsyncSession, control: ControlPlane, row: Connector, credentials: Mapping[str, Any], actor: str
) -> str:
    return await vault.keep(
        session,
        control.seal,
        row.tenant_id,
        _secret(row),
        msgspec.json.encode(credentials).decode(),
        org_id=row.org_id,
        actor=actor,
        at_ms=control.clock(),
    )


async def _opened(session: AsyncSession, control: ControlPlane, row: Connector) -> dict[str, Any]:
    try:
        value = await vault.read(session, control.seal, row.tenant_id, _secret(row), org_id=row.org_id)
    except CannotOpen:
        value = None
    if value is None:
        raise Conflict("The connector's credentials cannot be read any more; send them again.")
    opened: dict[str, Any] = msgspec.json.decode(value, type=dict[str, Any])
    return opened


def _secret(row: Connector) -> str:
    return f"connector:{row.connector_id}"


def _forget_test(row: Connector) -> None:
    row.tested_at_ms, row.test_passed, row.test_said = 0, False, ""


def _may_change(principal: Principal) -> None:
    roles.require(principal, "member", "To change a connector")


async def _connector(
    session: AsyncSession, instance_id: str, connector_id: str, *, lock: bool = False
) -> Connector:
    row = await repository.connector(session, instance_id, connector_id, lock=lock)
    if row is None:
        raise NotFound("The instance has no such connector.")
    return row


def _view(row: Connector) -> ConnectorView:
    tested = TestView(passed=row.test_passed, said=row.test_said, at_ms=row.tested_at_ms)
    return ConnectorView(
        connector_id=row.connector_id,
        kind=row.kind,
        name=row.name,
        enabled=row.enabled,
        for_visitors=row.for_visitors,
        settings=row.settings,
        tools=list(row.tools),
        version=row.version,
        created_by=row.created_by,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        last_test=tested if row.tested_at_ms else None,
    )


def _audit(
    session: AsyncSession, row: Connector, actor: str, action: str, at_ms: int, **details: object
) -> None:
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=actor,
        action=action,
        target=("connector", row.connector_id),
        at_ms=at_ms,
        instance_id=row.instance_id,
        kind=row.kind,
        **details,
    )
