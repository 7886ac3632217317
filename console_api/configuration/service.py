"""Reading and changing a configuration. Each call is a part of its caller's transaction."""

from __future__ import annotations

from typing import Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.catalogue.models import EntitlementTerms
from console_api.configuration.models import BrandingTerms, ConfigTerms, ConfigView, OwnLimits
from console_api.control.directory import repository
from console_api.control.directory import service as directory
from console_api.control.directory.models import Configuration
from console_api.control.errors import Conflict
from console_api.database.tables import Instance, InstanceConfig, Plan
from console_api.instances.owned import own_instance
from schemas.directory import Branding, Limits


async def read(session: AsyncSession, principal: Principal, instance_id: str) -> ConfigView:
    """Return an instance's configuration. Raises `NotFound`, also for a foreign instance."""
    row = await own_instance(session, principal, instance_id)
    config = await repository.config(session, instance_id)
    plan = await repository.plan(session, row.tenant_id, row.plan_id)
    assert config is not None
    assert plan is not None
    return _view(row, config, plan)


async def write(
    session: AsyncSession,
    principal: Principal,
    instance_id: str,
    terms: ConfigTerms,
    expected: int,
    *,
    now_ms: int,
) -> ConfigView:
    """Replace a configuration that is still of that version.

    Raises `NotFound`, `PreconditionFailed`, `InvalidRequest` for what the plan does not include, and
    `Conflict` for an instance that has ended.
    """
    row = await own_instance(session, principal, instance_id, lock=True)
    roles.require(principal, "member", "To change an instance")
    if row.status == "ended":
        raise Conflict("The instance has ended; buy a new one to go on.")
    row.name = terms.name
    await directory.configure(
        session, instance_id, _configuration(terms), expected, actor=principal.subject, at_ms=now_ms
    )
    await session.flush()
    return await read(session, principal, instance_id)


async def set_status(
    session: AsyncSession,
    principal: Principal,
    instance_id: str,
    status: Literal["active", "suspended"],
    reason: str,
    *,
    now_ms: int,
) -> None:
    """Suspend or resume an instance. Doing it again changes nothing. Raises `Conflict` for one that ended."""
    roles.require(principal, "operator", "To suspend or resume an instance")
    await own_instance(session, principal, instance_id)
    actor = f"{principal.subject}: {reason}"[:256]
    await directory.set_status(session, instance_id, status, actor=actor, at_ms=now_ms)


def _configuration(terms: ConfigTerms) -> Configuration:
    return Configuration(
        model=terms.model,
        system_prompt=terms.system_prompt,
        greeting=terms.greeting,
        tools=None if terms.tools is None else tuple(dict.fromkeys(terms.tools)),
        branding=msgspec.convert(terms.branding.model_dump(), Branding),
        limits=msgspec.convert(terms.limits.model_dump(), Limits),
    )


def _view(row: Instance, config: InstanceConfig, plan: Plan) -> ConfigView:
    terms = ConfigTerms(
        name=row.name,
        model=config.model,
        system_prompt=config.system_prompt,
        greeting=config.greeting,
        tools=None if config.tools is None else list(config.tools),
        branding=BrandingTerms.model_validate(msgspec.to_builtins(config.branding)),
        limits=OwnLimits.model_validate(
            {name: getattr(config.limits, name) for name in OwnLimits.model_fields}
        ),
    )
    return ConfigView.of(
        terms,
        instance_id=row.instance_id,
        version=config.version,
        updated_at_ms=config.updated_at_ms,
        plan_code=plan.code,
        plan=EntitlementTerms.model_validate(msgspec.to_builtins(plan.entitlements)),
    )
