"""`/api/v1/prices…`: what a tenant's runs cost, for its operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from console_api.auth.service import PrincipalDep
from console_api.control.directory import prices as directory
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.prices import service
from console_api.prices.models import (
    BookView,
    NewPrices,
    Preview,
    PreviewTerms,
    PricesView,
    Scheduling,
    Version,
    Withdrawal,
)
from console_api.prices.preview import Comparison
from console_api.stores import StoresDep
from kit.problems import InvalidRequest
from metering.price_schedule import version_at

router = APIRouter(prefix="/api/v1", tags=["prices"])

_PUBLISH = """\
Books are for good: a version is derived from its prices and never changes. Runs that were admitted before the
moment keep the book that they were admitted under. Sending the same again changes nothing more.
"""
_PREVIEW = "Nothing is published. Say either the terms of a new book, or the version of a published one."


@router.get("/prices", summary="What holds from when, and the published books (operators)")
async def prices(session: ReadDep, control: ControlDep, principal: PrincipalDep) -> PricesView:
    return await service.read(session, principal, control.clock())


@router.get("/prices/books/{version}", summary="A book, or `list`: the list prices of now (operators)")
async def book(
    version: Annotated[Version, Path()], session: ReadDep, control: ControlDep, principal: PrincipalDep
) -> BookView:
    return await service.book(session, principal, version, control.clock())


@router.post("/prices", summary="Publish a book and schedule it (operators)", description=_PUBLISH)
async def publish(
    wanted: NewPrices, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> PricesView:
    return await service.publish(session, principal, wanted, control.clock())


@router.post("/prices:schedule", summary="Schedule a published book (operators)")
async def schedule(
    wanted: Scheduling, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> PricesView:
    return await service.schedule(session, principal, wanted, control.clock())


@router.post("/prices:withdraw", summary="Take back an entry that is to come (operators)")
async def withdraw(
    which: Withdrawal, session: WriteDep, control: ControlDep, principal: PrincipalDep
) -> PricesView:
    return await service.withdraw(session, principal, which.effective_from_ms, control.clock())


@router.post("/prices:preview", summary="What a book would change (operators)", description=_PREVIEW)
async def preview(
    wanted: PreviewTerms, session: ReadDep, stores: StoresDep, control: ControlDep, principal: PrincipalDep
) -> Preview:
    service.operators_only(principal)
    tenant_id, now_ms = principal.tenant_id, control.clock()
    if (wanted.book is None) == (wanted.version is None):
        raise InvalidRequest("Say either `book` or `version`.")
    if wanted.book is not None:
        after = await service.build(session, tenant_id, wanted.book, now_ms)
    else:
        after = await service.known(session, tenant_id, wanted.version or "")
    current = version_at(await directory.scheduled(session, tenant_id), now_ms)
    before = await service.known(session, tenant_id, current) if current else None
    compared = Comparison(before, after)
    return await compared.preview(
        stores, tenant_id, wanted.samples, now_ms, published=wanted.version is not None
    )
