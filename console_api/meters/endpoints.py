"""`/api/v1/meters…`: what is counted, and how much of it. In the shape of OpenMeter's Meters API.

Theirs: https://github.com/openmeterio/openmeter/blob/main/api/spec/src/meters.tsp.

As there, an answer without a window is one value of the whole range, rows without usage are left out, and
`subject` (here: the org) is a group like any other. Different: `to` is exclusive, names are written in snake
case (theirs are taken, too), a group's missing value is an empty string, and windows may be weeks and months.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from console_api.auth.service import PrincipalDep
from console_api.control.plane import ControlDep, ControlPlane, WriteDep
from console_api.meters import question, service
from console_api.meters.models import MAX_GROUP_BY, MAX_TOP, Meter, MeterAnswer, MeterList, NewMeter
from console_api.stores import StoresDep

router = APIRouter(prefix="/api/v1/meters", tags=["meters"])
#: What needs the control plane's database.
defining = APIRouter(prefix="/api/v1/meters", tags=["meters"])

Slug = Annotated[str, Path(min_length=1, max_length=64, examples=["tokens_out"])]


def _plane(request: Request) -> ControlPlane | None:
    plane = request.app.state.control
    assert plane is None or isinstance(plane, ControlPlane)
    return plane


#: `None` where there is no database: then there are the built-in meters.
_PlaneDep = Annotated[ControlPlane | None, Depends(_plane)]

_QUERY = f"""\
Values by window and group, oldest first; rows without usage are left out.

- `filter[model]=a&filter[model]=b`: only rows with one of these values; up to {MAX_GROUP_BY} names.
- `group_by=model&group_by=channel`, or `group_by=model,channel`: any name that the meter has, and `org_id`.
- `top_n` keeps the groups with the largest values of the whole range; the rest is one row a window, `other`.
- `compare=previous` adds the value of the same window of the period before, which is as long.
- `Accept` or `format`: JSON, CSV, Parquet, or Arrow's stream.

OpenMeter's names are taken as well: `windowSize`, `windowTimeZone`, `groupBy`, `filterGroupBy[…]`, `subject`.
"""
_MOMENT = "ISO-8601 or Unix ms; without an offset it is meant in `tz`"


def _parameter(name: str, kind: dict[str, object], description: str) -> dict[str, object]:
    return {"name": name, "in": "query", "required": False, "schema": kind, "description": description}


_NAMES: dict[str, object] = {"type": "array", "items": {"type": "string"}, "maxItems": MAX_GROUP_BY}
_TEXTS: dict[str, object] = {"type": "object", "additionalProperties": {"type": "string"}}
#: They are read by `question`, which knows the meter, so they are described here.
_PARAMETERS = [
    _parameter("from", {"type": "string", "maxLength": 40}, f"{_MOMENT}. Default 30 days before `to`"),
    _parameter("to", {"type": "string", "maxLength": 40}, f"{_MOMENT}. Exclusive; default now"),
    _parameter(
        "window",
        {"type": "string", "enum": ["minute", "hour", "day", "week", "month"]},
        "Without it: one value of the whole range",
    ),
    _parameter("tz", {"type": "string", "default": "UTC"}, "IANA name; where days, weeks and months begin"),
    _parameter("group_by", _NAMES, "Names to group by"),
    {**_parameter("filter", _TEXTS, "Exact values"), "style": "deepObject", "explode": True},
    _parameter("top_n", {"type": "integer", "minimum": 1, "maximum": MAX_TOP}, "The largest groups; `other`"),
    _parameter("compare", {"type": "string", "enum": ["previous"]}, "With the period before"),
    _parameter("format", {"type": "string", "enum": [*question.MEDIA_TYPES]}, "Instead of `Accept`"),
]


@router.get("", summary="Your meters, built-in ones first")
async def meters(principal: PrincipalDep, plane: _PlaneDep) -> MeterList:
    return await service.every(plane, principal)


@router.get("/{slug}", summary="A meter's definition")
async def meter(slug: Slug, principal: PrincipalDep, plane: _PlaneDep) -> Meter:
    return await service.one(plane, principal, slug)


@router.get(
    "/{slug}/query",
    summary="How much of it",
    description=_QUERY,
    response_model=MeterAnswer,
    responses={200: {"content": {name: {} for form, name in question.MEDIA_TYPES.items() if form != "json"}}},
    openapi_extra={"parameters": _PARAMETERS},
)
async def query(
    slug: Slug, request: Request, stores: StoresDep, principal: PrincipalDep, plane: _PlaneDep
) -> Response:
    asked = request.query_params
    known = await service.one(plane, principal, slug)
    form = question.form_of(asked.get("format"), request.headers.get("accept", ""))
    parsed = question.question_of(known, asked.multi_items(), stores.clock())
    pieces = await service.answer(stores, principal, known, parsed, form)
    headers = {"Vary": "Accept"}
    if form != "json":
        headers["Content-Disposition"] = f'attachment; filename="{known.slug}.{form}"'
    return StreamingResponse(pieces, media_type=question.MEDIA_TYPES[form], headers=headers)


@defining.post("", status_code=201, summary="Define a meter (operators)")
async def define(wanted: NewMeter, session: WriteDep, control: ControlDep, principal: PrincipalDep) -> Meter:
    return await service.define(session, principal, wanted, control.clock())


@defining.delete("/{slug}", status_code=204, summary="Delete a meter of your own (operators)")
async def remove(slug: Slug, session: WriteDep, control: ControlDep, principal: PrincipalDep) -> Response:
    await service.remove(session, principal, slug, control.clock())
    return Response(status_code=204)
