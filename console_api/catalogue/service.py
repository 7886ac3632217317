"""What is on offer, and its changes by an operator. Each call is a part of its caller's transaction."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.catalogue import repository
from console_api.catalogue.models import (
    AllowanceTerms,
    EntitlementTerms,
    PlanPage,
    PlanTerms,
    PlanView,
    PriceTerms,
    ProductPage,
    ProductTerms,
    ProductView,
)
from console_api.catalogue.terms import Entitlements, Kind, Price, Status
from console_api.control import audit
from console_api.control.directory import service as directory
from console_api.control.errors import PreconditionFailed
from console_api.database.tables import Plan, Product
from kit.clock import new_id
from kit.problems import InvalidRequest, NotFound
from metering.plans import Allowance


async def products(
    session: AsyncSession, principal: Principal, limit: int, cursor: str | None
) -> ProductPage:
    """Return a page of the tenant's products by code; buyers see those that are on offer."""
    after = cursors.decode(cursor, tuple[str])[0] if cursor else ""
    rows = await repository.products(session, principal.tenant_id, _visible(principal), after, limit + 1)
    shown = rows[:limit]
    more = cursors.encode((shown[-1].code,)) if len(rows) > limit else None
    return ProductPage(products=[product_view(row) for row in shown], next_cursor=more)


async def plans(
    session: AsyncSession, principal: Principal, product: str | None, limit: int, cursor: str | None
) -> PlanPage:
    """Return a page of the tenant's plans by code; buyers see those that are on offer."""
    after = cursors.decode(cursor, tuple[str])[0] if cursor else ""
    visible = _visible(principal)
    rows = await repository.plans(
        session, principal.tenant_id, product, visible, after=after, limit=limit + 1
    )
    shown = rows[:limit]
    more = cursors.encode((shown[-1][0].code,)) if len(rows) > limit else None
    return PlanPage(plans=[plan_view(*row) for row in shown], next_cursor=more)


async def product(session: AsyncSession, principal: Principal, code: str) -> ProductView:
    """Return one product. Raises `NotFound`, also for one that the caller may not see."""
    row = await repository.product(session, principal.tenant_id, code)
    if row is None or row.status not in _visible(principal):
        raise NotFound("There is no such product; list them at /api/v1/products.")
    return product_view(row)


async def plan(session: AsyncSession, principal: Principal, code: str) -> PlanView:
    """Return one plan. Raises `NotFound`, also for one that the caller may not see."""
    row = await repository.plan(session, principal.tenant_id, code)
    if row is None or row[0].status not in _visible(principal):
        raise NotFound("There is no such plan; list them at /api/v1/plans.")
    return plan_view(*row)


async def put_product(
    session: AsyncSession,
    principal: Principal,
    code: str,
    terms: ProductTerms,
    expected: int | None,
    *,
    now_ms: int,
) -> ProductView:
    """Create or replace a product. `expected`: its version, or 0 if there must be none."""
    _operators_only(principal)
    row = await ensure_product(
        session, principal.tenant_id, code, terms, expected, actor=principal.subject, at_ms=now_ms
    )
    return product_view(row)


async def ensure_product(
    session: AsyncSession,
    tenant_id: str,
    code: str,
    terms: ProductTerms,
    expected: int | None = None,
    *,
    actor: str,
    at_ms: int,
) -> Product:
    """As `put_product`, for the seed and for provisioning. Terms that are there already change nothing."""
    row = await repository.product(session, tenant_id, code, lock=True)
    _check_version(row, expected)
    wanted = terms.model_dump()
    if row is None:
        row = Product(
            product_id=new_id("product"), tenant_id=tenant_id, code=code, version=0, created_at_ms=at_ms
        )
    elif _same(row, wanted):
        return row
    _assign(row, wanted, at_ms)
    repository.add(session, row)
    _audit(session, tenant_id, actor, ("product", row.product_id), at_ms, code=code, **wanted)
    await session.flush()
    return row


async def put_plan(
    session: AsyncSession,
    principal: Principal,
    code: str,
    terms: PlanTerms,
    expected: int | None,
    *,
    now_ms: int,
) -> PlanView:
    """Create or replace a plan. `expected`: its version, or 0 if there must be none."""
    _operators_only(principal)
    row = await ensure_plan(
        session, principal.tenant_id, code, terms, expected, actor=principal.subject, at_ms=now_ms
    )
    return plan_view(row, terms.product)


async def ensure_plan(
    session: AsyncSession,
    tenant_id: str,
    code: str,
    terms: PlanTerms,
    expected: int | None = None,
    *,
    actor: str,
    at_ms: int,
) -> Plan:
    """As `put_plan`, for the seed and for provisioning. Terms that are there already change nothing.

    Instances of the plan follow its new entitlements at once.
    """
    product_row = await repository.product(session, tenant_id, terms.product)
    if product_row is None:
        raise InvalidRequest(f"There is no product {terms.product!r}; create it first.")
    found = await repository.plan(session, tenant_id, code, lock=True)
    row = found[0] if found else None
    _check_version(row, expected)
    wanted = _plan_columns(terms, product_row.product_id)
    if row is None:
        row = Plan(plan_id=new_id("plan"), tenant_id=tenant_id, code=code, version=0, created_at_ms=at_ms)
        follow = False
    elif _same(row, wanted):
        return row
    else:
        follow = row.entitlements != wanted["entitlements"]
    _assign(row, wanted, at_ms)
    repository.add(session, row)
    _audit(session, tenant_id, actor, ("plan", row.plan_id), at_ms, code=code, terms=terms.model_dump())
    await session.flush()
    if follow:
        await directory.plan_changed(session, row.plan_id, at_ms)
    return row


def product_view(row: Product) -> ProductView:
    return ProductView(
        product_id=row.product_id,
        code=row.code,
        name=row.name,
        description=row.description,
        kind=cast(Kind, row.kind),
        status=cast(Status, row.status),
        version=row.version,
    )


def plan_view(row: Plan, product_code: str) -> PlanView:
    allowance = row.allowance
    return PlanView(
        plan_id=row.plan_id,
        code=row.code,
        product=product_code,
        name=row.name,
        status=cast(Status, row.status),
        entitlements=EntitlementTerms.model_validate(msgspec.to_builtins(row.entitlements)),
        allowance=AllowanceTerms.model_validate(msgspec.to_builtins(allowance)) if allowance else None,
        credits_once_micro=row.credits_once_micro,
        prices=[PriceTerms.model_validate(msgspec.to_builtins(price)) for price in row.prices],
        version=row.version,
    )


def _plan_columns(terms: PlanTerms, product_id: str) -> dict[str, Any]:
    plain = terms.model_dump()
    try:
        entitlements = msgspec.convert(plain["entitlements"], Entitlements)
        allowance = msgspec.convert(plain["allowance"], Allowance | None)
        prices = msgspec.convert(plain["prices"], tuple[Price, ...])
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None
    return {
        "product_id": product_id,
        "name": terms.name,
        "status": terms.status,
        "entitlements": entitlements,
        "allowance": allowance,
        "credits_once_micro": terms.credits_once_micro,
        "prices": prices,
    }


def _visible(principal: Principal) -> tuple[Status, ...]:
    return ("draft", "active", "archived") if principal.role == "operator" else ("active",)


def _operators_only(principal: Principal) -> None:
    roles.require(principal, "operator", "To change what is on offer")


def _check_version(row: Product | Plan | None, expected: int | None) -> None:
    if expected is not None and expected != (row.version if row else 0):
        raise PreconditionFailed("Read it again and repeat your change.")


def _same(row: Product | Plan, wanted: dict[str, Any]) -> bool:
    return all(getattr(row, name) == value for name, value in wanted.items())


def _assign(row: Product | Plan, wanted: dict[str, Any], at_ms: int) -> None:
    for name, value in wanted.items():
        setattr(row, name, value)
    row.version += 1
    row.updated_at_ms = at_ms


def _audit(
    session: AsyncSession, tenant_id: str, actor: str, target: tuple[str, str], at_ms: int, **details: Any
) -> None:
    audit.record(
        session,
        tenant_id=tenant_id,
        org_id="",
        actor=actor,
        action=f"{target[0]}.put",
        target=target,
        at_ms=at_ms,
        **details,
    )
