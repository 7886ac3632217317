"""`/api/v1/products` and `/api/v1/plans`: reading, and writing for operators."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Response

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
from kit.problems import InvalidRequest

View = TypeVar("View", ProductView, PlanView)

router = APIRouter(prefix="/api/v1", tags=["catalogue"])

CodeDep = Annotated[Code, Path()]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=1024)]


def _expected(
    if_match: Annotated[
        str | None, Header(max_length=64, description='The ETag you read, e.g. `"3"`')
    ] = None,
    if_none_match: Annotated[str | None, Header(max_length=64, description="`*`: only create")] = None,
) -> int | None:
    """Return the version that the caller expects, 0 for none yet."""
    if if_match is not None:
        tag = re.fullmatch(r'"(\d{1,18})"', if_match)
        if tag is None:
            raise InvalidRequest("If-Match takes the ETag of the answer you read.")
        return int(tag[1])
    if if_none_match is not None:
        if if_none_match != "*":
            raise InvalidRequest("If-None-Match takes only `*` here.")
        return 0
    return None


ExpectedDep = Annotated[int | None, Depends(_expected)]


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
    response.headers["ETag"] = f'"{view.version}"'
    return view
