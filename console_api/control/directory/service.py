"""Steps of provisioning, each a part of the caller's transaction and harmless to repeat."""

from __future__ import annotations

from typing import Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control import audit
from console_api.control.directory import repository
from console_api.control.directory.models import Configuration
from console_api.control.errors import Conflict, PreconditionFailed
from console_api.control.outbox import service as outbox
from console_api.database.tables import Instance, InstanceConfig, Org, Plan, User
from kit.clock import new_id
from kit.problems import InvalidRequest, NotFound
from schemas.directory import InstanceStatus, Role, Suspension

OrgStatus = Literal["active", "suspended"]
#: What an instance may become. An end is final.
_NEXT: dict[str, tuple[InstanceStatus, ...]] = {
    "provisioning": ("active", "ended"),
    "active": ("suspended", "ended"),
    "suspended": ("active", "ended"),
    "ended": (),
}


async def ensure_tenant(session: AsyncSession, tenant_id: str, name: str, at_ms: int) -> None:
    """Make the tenant unless it is there."""
    await repository.add_tenant(session, tenant_id, name, at_ms)


async def ensure_org(
    session: AsyncSession,
    tenant_id: str,
    name: str,
    *,
    at_ms: int,
    org_id: str = "",
    external_id: str | None = None,
) -> Org:
    """Return the org of that id or external id, made if it is not there. `Conflict`: another tenant's."""
    org_id = org_id or new_id("org")
    await repository.add_org(
        session, org_id=org_id, tenant_id=tenant_id, external_id=external_id, name=name, at_ms=at_ms
    )
    found = await repository.org(session, tenant_id, org_id)
    if found is None and external_id is not None:
        found = await repository.org_by_external_id(session, tenant_id, external_id)
    if found is None:
        raise Conflict("That org is not this tenant's.")
    return found


async def ensure_member(
    session: AsyncSession,
    org: Org,
    *,
    issuer: str,
    subject: str,
    role: Role,
    at_ms: int,
    email: str = "",
) -> User:
    """Return the user, made and made a member if need be. A role that is there is kept."""
    await repository.add_user(
        session,
        user_id=new_id("user"),
        tenant_id=org.tenant_id,
        issuer=issuer,
        subject=subject,
        email=email,
        at_ms=at_ms,
    )
    user = await repository.user(session, org.tenant_id, issuer, subject)
    assert user is not None
    await repository.add_membership(session, org.org_id, user.user_id, role, at_ms)
    return user


async def add_instance(
    session: AsyncSession,
    org: Org,
    plan_id: str,
    name: str,
    *,
    actor: str,
    at_ms: int,
    instance_id: str = "",
    order_id: str | None = None,
    status: InstanceStatus = "provisioning",
    configuration: Configuration = Configuration(),  # noqa: B008 - frozen
) -> Instance:
    """Make an instance of a plan with its configuration. One that the order has already is returned.

    Raises `NotFound` for a plan that is not the tenant's, `InvalidRequest` for a configuration beyond it.
    """
    _check(configuration, await _plan(session, org.tenant_id, plan_id))
    row = Instance(
        instance_id=instance_id or new_id("inst"),
        tenant_id=org.tenant_id,
        org_id=org.org_id,
        plan_id=plan_id,
        order_id=order_id,
        name=name,
        status=status,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
    )
    new = await repository.add_instance(session, row)
    if not new:
        return await _there_already(session, row)
    repository.add(session, _config_row(row.instance_id, configuration, at_ms))
    await outbox.project(session, "instance", row.instance_id, at_ms)
    _audit(session, row, actor, "instance.create", at_ms, plan_id=plan_id, order_id=order_id or "")
    made = await repository.instance(session, row.instance_id)
    assert made is not None
    return made


async def _there_already(session: AsyncSession, wanted: Instance) -> Instance:
    found = await repository.instance(session, wanted.instance_id)
    if found is None and wanted.order_id is not None:
        found = await repository.instance_of_order(session, wanted.order_id)
    if found is None or found.org_id != wanted.org_id:
        raise Conflict("That order or instance is another org's.")
    return found


async def set_status(
    session: AsyncSession,
    instance_id: str,
    status: InstanceStatus,
    *,
    actor: str,
    at_ms: int,
    why: Suspension = "operator",
) -> bool:
    """Activate, suspend or end an instance; return whether it changed. `Conflict`: it cannot become that.

    `why` it is suspended, or need not be any more: it runs again when no other reason is left. An operator's
    word lifts them all.
    """
    row = await _locked(session, instance_id)
    reasons = _reasons(row, status, why)
    if status == "active" and reasons:
        status = "suspended"
    if (row.status, row.suspended_for) == (status, reasons):
        return False
    if row.status != status and status not in _NEXT[row.status]:
        raise Conflict(f"An instance that is {row.status} cannot become {status}.")
    _audit(
        session, row, actor, "instance.status", at_ms, was=row.status, now=status, suspended_for=list(reasons)
    )
    row.status, row.suspended_for = status, reasons
    await changed(session, row, at_ms)
    return True


def _reasons(row: Instance, status: InstanceStatus, why: Suspension) -> tuple[Suspension, ...]:
    others = tuple(reason for reason in row.suspended_for if reason != why)
    if status == "suspended":
        return row.suspended_for if why in row.suspended_for else (*others, why)
    return others if status == "active" and why != "operator" else ()


async def configure(
    session: AsyncSession,
    instance_id: str,
    configuration: Configuration,
    expected_version: int | None,
    *,
    actor: str,
    at_ms: int,
) -> InstanceConfig:
    """Replace an instance's configuration. `PreconditionFailed`: it is of another version by now."""
    row = await _locked(session, instance_id)
    config = await repository.config(session, instance_id)
    assert config is not None
    if expected_version is not None and config.version != expected_version:
        raise PreconditionFailed("Read the configuration again and repeat your change.")
    _check(configuration, await _plan(session, row.tenant_id, row.plan_id))
    for name in Configuration.__struct_fields__:
        setattr(config, name, getattr(configuration, name))
    config.version += 1
    config.updated_at_ms = at_ms
    await changed(session, row, at_ms)
    _audit(session, row, actor, "instance.configure", at_ms, version=config.version)
    return config


async def changed(session: AsyncSession, row: Instance, at_ms: int) -> None:
    """Note a change of a locked instance, and have it projected."""
    row.version += 1
    row.updated_at_ms = at_ms
    await outbox.project(session, "instance", row.instance_id, at_ms)


async def plan_changed(session: AsyncSession, plan_id: str, at_ms: int) -> int:
    """Have all instances of a plan follow its new terms; return how many those are."""
    touched = await repository.touch_instances_of_plan(session, plan_id, at_ms)
    await outbox.project_many(session, "instance", touched, at_ms)
    return len(touched)


async def set_org_status(
    session: AsyncSession, org: Org, status: OrgStatus, *, actor: str, reason: str, at_ms: int
) -> bool:
    """Suspend or resume a locked org with all its instances; return whether it changed.

    An instance that was suspended itself stays so when its org is resumed.
    """
    if org.status == status:
        return False
    org.status = status
    touched = await repository.touch_instances_of_org(session, org.org_id, at_ms)
    await outbox.project_many(session, "instance", touched, at_ms)
    audit.record(
        session,
        tenant_id=org.tenant_id,
        org_id=org.org_id,
        actor=actor,
        action="org.suspend" if status == "suspended" else "org.resume",
        target=("org", org.org_id),
        at_ms=at_ms,
        reason=reason,
    )
    return True


async def _plan(session: AsyncSession, tenant_id: str, plan_id: str) -> Plan:
    plan = await repository.plan(session, tenant_id, plan_id)
    if plan is None:
        raise NotFound("There is no such plan.")
    return plan


async def _locked(session: AsyncSession, instance_id: str) -> Instance:
    row = await repository.instance(session, instance_id, lock=True)
    if row is None:
        raise NotFound("There is no such instance.")
    return row


def _check(configuration: Configuration, plan: Plan) -> None:
    try:
        msgspec.convert(msgspec.to_builtins(configuration), Configuration)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None
    terms = plan.entitlements
    if configuration.model and configuration.model not in terms.models:
        raise InvalidRequest(
            f"The plan does not include {configuration.model!r}.", allowed=list(terms.models)
        )
    beyond = [tool for tool in configuration.tools or () if tool not in terms.tools]
    if beyond:
        raise InvalidRequest(f"The plan does not include the tool {beyond[0]!r}.", allowed=list(terms.tools))


def _config_row(instance_id: str, configuration: Configuration, at_ms: int) -> InstanceConfig:
    fields = {name: getattr(configuration, name) for name in Configuration.__struct_fields__}
    return InstanceConfig(instance_id=instance_id, updated_at_ms=at_ms, **fields)


def _audit(
    session: AsyncSession, row: Instance, actor: str, action: str, at_ms: int, **details: object
) -> None:
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=actor,
        action=action,
        target=("instance", row.instance_id),
        at_ms=at_ms,
        **details,
    )
