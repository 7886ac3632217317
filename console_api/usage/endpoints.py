"""`GET /api/v1/instances/{id}/usage`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

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


@router.get("/usage", summary="Totals and a series, from history", response_model=Usage)
async def usage(
    stores: StoresDep,
    own: OwnInstanceDep,
    *,
    start: From = None,
    to: To = None,
    window: UsageWindow = "hour",
    group_by: GroupBy = "none",
    tz: Annotated[str, Query(max_length=64, description="IANA name; where days and hours begin")] = "UTC",
) -> Response:
    where = zone(tz)
    span = range_of(start, to, _DAY_MS, stores.clock(), where)
    answer = await service.usage(stores, own, UsageQuestion(span, window, group_by, where))
    # Encoded as it is: checking thousands of points against the model once more takes most of a second.
    return Response(msgspec.json.encode(answer), media_type="application/json")
