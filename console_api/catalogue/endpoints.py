"""`/api/v1/products` and `/api/v1/plans`: reading, and writing for operators."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Query, Response

from console_api.auth.service import PrincipalDep
from console_api.catalogue import service
from console_api.catalogue.models import (
    Code,
    PlanPage,
    PlanTerms,
    PlanView,
    ProductPage,
    ProductTerms,
    ProductView,
)
from console_api.control.plane import ControlDep, ReadDep, WriteDep
from console_api.etags import ExpectedDep, tag

View = TypeVar("View", ProductView, PlanView)

router = APIRouter(prefix="/api/v1", tags=["catalogue"])

CodeDep = Annotated[Code, Path()]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=1024)]


@router.get("/products", summary="What is on offer")
async def products(
    session: ReadDep, principal: PrincipalDep, limit: Limit = 50, cursor: Cursor = None
) -> ProductPage:
    return await service.products(session, principal, limit, cursor)


@router.get("/products/{code}", summary="One product")
async def product(
    code: CodeDep, session: ReadDep, principal: PrincipalDep, response: Response
) -> ProductView:
    return _tagged(await service.product(session, principal, code), response)


@router.put("/products/{code}", summary="Create or replace a product (operators)")
async def put_product(
    *,
    code: CodeDep,
    terms: ProductTerms,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    expected: ExpectedDep,
    response: Response,
) -> ProductView:
    put = await service.put_product(session, principal, code, terms, expected, now_ms=control.clock())
    return _tagged(put, response)


@router.get("/plans", summary="The plans on offer")
async def plans(
    session: ReadDep,
    principal: PrincipalDep,
    product: Annotated[str | None, Query(max_length=64, description="Only this product's")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PlanPage:
    return await service.plans(session, principal, product, limit, cursor)


@router.get("/plans/{code}", summary="One plan")
async def plan(code: CodeDep, session: ReadDep, principal: PrincipalDep, response: Response) -> PlanView:
    return _tagged(await service.plan(session, principal, code), response)


@router.put("/plans/{code}", summary="Create or replace a plan (operators)")
async def put_plan(
    *,
    code: CodeDep,
    terms: PlanTerms,
    session: WriteDep,
    control: ControlDep,
    principal: PrincipalDep,
    expected: ExpectedDep,
    response: Response,
) -> PlanView:
    put = await service.put_plan(session, principal, code, terms, expected, now_ms=control.clock())
    return _tagged(put, response)


def _tagged(view: View, response: Response) -> View:
    tag(response, view.version)
    return view
