"""From rows to what Redis holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import msgspec

from console_api.database.tables import (
    ApiKey,
    Connector,
    Customer,
    Instance,
    InstanceConfig,
    Plan,
    PriceBookRow,
    PriceScheduleRow,
    Secret,
)
from kit.projections import Write
from schemas import keys
from schemas.directory import (
    ApiKeyRecord,
    ConnectorRecord,
    ConnectorsRecord,
    CustomerRecord,
    InstanceRecord,
    InstanceStatus,
    KeyKind,
    KeyScope,
    Limits,
)

#: For how long a revoked key stands in Redis as revoked, so that no write from before can bring it back.
REVOKED_KEPT_MS = 3_600_000

_CEILINGS = (
    "requests_per_minute",
    "tokens_per_minute",
    "max_concurrent_runs",
    "daily_cap_micro",
    "monthly_cap_micro",
)


def key_write(row: ApiKey, now_ms: int) -> Write:
    """Return a key's projection. A revoked one is replaced by a mark that expires."""
    revoked_for_ms = now_ms - row.revoked_at_ms if row.revoked_at_ms else 0
    return Write(
        keys.api_key(row.digest),
        row.version,
        _versioned(row.version, key_record(row)),
        lifetime_ms=REVOKED_KEPT_MS if row.revoked_at_ms else 0,
        only_if_there=revoked_for_ms > REVOKED_KEPT_MS,
        messages=((keys.KEY_CHANGED_CHANNEL, row.digest),),
    )


def key_record(row: ApiKey) -> ApiKeyRecord:
    return ApiKeyRecord(
        key_id=row.key_id,
        kind=cast(KeyKind, row.kind),
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        instance_id=row.instance_id,
        revoked=bool(row.revoked_at_ms),
        expires_at_ms=row.expires_at_ms,
        allowed_origins=row.allowed_origins,
        scopes=cast("tuple[KeyScope, ...]", row.scopes),
    )


@dataclass(frozen=True)
class Belongings:
    """What else of an instance its projections tell. `digests`: of its live keys."""

    digests: tuple[str, ...] = ()
    #: Whether any of its knowledge can be searched, or is being read.
    knowledge: bool = False
    #: The enabled ones, with their credentials.
    connectors: tuple[tuple[Connector, Secret], ...] = ()


def instance_write(
    row: Instance, config: InstanceConfig, plan: Plan, has: Belongings, *, stopped: bool = False
) -> Write:
    """Return an instance's projection. Its keys are announced, too: gateways cache both together.

    `stopped`: its org, or the whole tenant, was suspended.
    """
    record = instance_record(row, config, plan)
    if stopped and record.status == "active":
        record = msgspec.structs.replace(record, status="suspended")
    told = msgspec.structs.replace(record, knowledge=has.knowledge, connectors=bool(has.connectors))
    return Write(
        keys.instance(row.instance_id),
        row.version,
        _versioned(row.version, told),
        messages=tuple((keys.KEY_CHANGED_CHANNEL, digest) for digest in has.digests),
        member_of=(keys.org_instances(row.org_id), row.instance_id),
    )


def connectors_write(row: Instance, has: Belongings) -> Write:
    """Return the projection of an instance's connectors. Credentials stay sealed."""
    record = ConnectorsRecord(
        instance_id=row.instance_id,
        tenant_id=row.tenant_id,
        connectors=tuple(
            ConnectorRecord(
                connector_id=connector.connector_id,
                kind=connector.kind,
                name=connector.name,
                settings=connector.settings,
                secret_id=secret.secret_id,
                sealed=secret.sealed,
                for_visitors=connector.for_visitors,
            )
            for connector, secret in has.connectors
        ),
    )
    # Also where there are none: that is what keeps an older write from bringing one back.
    return Write(keys.connectors(row.instance_id), row.version, _versioned(row.version, record))


def instance_record(row: Instance, config: InstanceConfig, plan: Plan) -> InstanceRecord:
    """Return what the data plane knows of an instance: its configuration within its plan's terms."""
    terms = plan.entitlements
    tools = terms.tools if config.tools is None else config.tools
    return InstanceRecord(
        instance_id=row.instance_id,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        name=row.name,
        status=cast(InstanceStatus, row.status),
        # A plan that was changed may no longer have the model that was chosen.
        default_model=config.model if config.model in terms.models else terms.models[0],
        models=terms.models,
        system_prompt=config.system_prompt,
        greeting=config.greeting,
        tools=tuple(tool for tool in tools if tool in terms.tools),
        max_output_tokens=terms.max_output_tokens,
        created_at_ms=row.created_at_ms,
        limits=tightened(terms.limits, config.limits),
        channels=terms.channels,
        branding=config.branding,
        suspended_for=row.suspended_for,
    )


def tightened(plan: Limits, own: Limits) -> Limits:
    """Return the plan's limits, lowered where the owner set lower ones. Credit terms are the plan's."""
    lower: dict[str, Any] = {}
    for name in _CEILINGS:
        bounds = [bound for bound in (getattr(plan, name), getattr(own, name)) if bound]
        lower[name] = min(bounds, default=0)
    return msgspec.structs.replace(plan, **lower, cap_output=plan.cap_output and own.cap_output)


def book_write(row: PriceBookRow) -> Write:
    return Write(keys.price_book(row.version), 0, msgspec.json.encode(row.book))


def schedule_write(row: PriceScheduleRow) -> Write:
    return Write(keys.price_schedule(row.tenant_id), row.version, _versioned(row.version, row.schedule))


def customer_write(row: Customer) -> Write:
    record = CustomerRecord(org_id=row.org_id, provider=row.provider, customer_ref=row.customer_ref)
    return Write(keys.customer(row.provider, row.org_id), row.version, _versioned(row.version, record))


def _versioned(version: int, record: msgspec.Struct) -> bytes:
    """Return the record with its version as the first member, where the script looks for it."""
    return b'{"version":%d,' % version + msgspec.json.encode(record)[1:]
