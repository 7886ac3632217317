"""`GET /api/v1/instances/{id}/usage`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from console_api.instances.service import OwnInstanceDep
from console_api.stores import StoresDep
from console_api.times import range_of, zone
from console_api.usage import service
from console_api.usage.models import GroupBy, Usage, UsageQuestion
from console_api.usage.windows import UsageWindow

router = APIRouter(prefix="/api/v1/instances/{instance_id}", tags=["usage"])

_DAY_MS = 86_400_000
_MOMENT = "ISO-8601 or Unix ms; without an offset it is meant in `tz`"

From = Annotated[str | None, Query(alias="from", max_length=40, description=_MOMENT)]
To = Annotated[str | None, Query(max_length=40, description=f"{_MOMENT}. Exclusive; default now")]


_PARQUET = "application/vnd.apache.parquet"
_USAGE = """\
Totals, groups, and a zero-filled series of every group.

`format=parquet` answers with a file of the series: a row for each bucket and group that something was used
in, times as UTC timestamps, amounts as integer micro-credits.
"""


@router.get(
    "/usage",
    summary="Totals and a series, from history",
    description=_USAGE,
    response_model=Usage,
    responses={200: {"content": {_PARQUET: {}}}},
)
async def usage(
    stores: StoresDep,
    own: OwnInstanceDep,
    *,
    start: From = None,
    to: To = None,
    window: UsageWindow = "hour",
    group_by: GroupBy = "none",
    tz: Annotated[str, Query(max_length=64, description="IANA name; where days and hours begin")] = "UTC",
    form: Annotated[Literal["json", "parquet"], Query(alias="format")] = "json",
) -> Response:
    where = zone(tz)
    span = range_of(start, to, _DAY_MS, stores.clock(), where)
    question = UsageQuestion(span, window, group_by, where)
    if form == "parquet":
        pieces = await service.parquet(stores, own, question)
        disposition = {"Content-Disposition": 'attachment; filename="usage.parquet"'}
        return StreamingResponse(pieces, media_type=_PARQUET, headers=disposition)
    answer = await service.usage(stores, own, question)
    # Encoded as it is: checking thousands of points against the model once more takes most of a second.
    return Response(msgspec.json.encode(answer), media_type="application/json")
