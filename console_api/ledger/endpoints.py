"""`GET /api/v1/wallet/ledger`, `GET /api/v1/wallet/balance`."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from console_api.auth.service import OrgMemberDep
from console_api.ledger import csv_file, service
from console_api.ledger.models import MAX_CSV_LINES, Balance, LedgerFilter, LedgerPage
from console_api.stores import StoresDep
from console_api.times import moment, range_of
from kit.problems import InvalidRequest
from schemas.events import EntryKind

router = APIRouter(prefix="/api/v1/wallet", tags=["wallet"])

_MONTH_MS = 30 * 86_400_000
#: How far a producer's or a client's clock may be ahead of ours.
_AHEAD_MS = 300_000
_UTC = ZoneInfo("UTC")
_MOMENT = "ISO-8601 or Unix ms; without an offset it is UTC"

_LEDGER = f"""\
Every change of your org's credits, newest first. An entry states a fact so far, and only its last version is
listed: a run's usage is one line, at the moment the run started. Entries reach the ledger some seconds after
the wallet.

Pages hang together while entries are added: none is repeated or left out; what is newer than the first page
stands in a new listing. `format=csv` answers with a file of at most {MAX_CSV_LINES:,} lines instead of a
page, and with 422 when the range holds more. Every role of the org may read it.
"""
_BALANCE = """\
What the ledger adds up to at a moment, as known by now: a late entry or a correction changes the past it
belongs to. Without `at` it is everything stored so far, and `pending` is what the wallet is ahead of it: what
happened in the last seconds.

It counts a grant when it is given and an expiry when it is written down, where `settled` of `/wallet` counts
them when they are effective and when they are due. Every role of the org may read it.
"""
_CSV_EXAMPLE = (
    ",".join(csv_file.COLUMNS) + "\r\nrun_1,usage,usage,-0.250000,-250000,2026-01-31T09:00:00.000Z,"
    "2026-01-31T09:00:01.250Z,run_1,v1,\r\n"
)


@router.get(
    "/ledger",
    summary="Every change of your org's credits",
    description=_LEDGER,
    response_model=LedgerPage,
    responses={
        200: {
            "description": "A page, or a file",
            "content": {"text/csv": {"schema": {"type": "string"}, "example": _CSV_EXAMPLE}},
        }
    },
)
async def ledger(
    stores: StoresDep,
    principal: OrgMemberDep,
    *,
    start: Annotated[
        str | None, Query(alias="from", max_length=40, description=f"{_MOMENT}. Default 30 days before `to`")
    ] = None,
    to: Annotated[str | None, Query(max_length=40, description=f"{_MOMENT}. Exclusive; default now")] = None,
    kind: Annotated[
        list[EntryKind] | None, Query(max_length=6, description="May be repeated; default every kind")
    ] = None,
    reference_id: Annotated[
        str, Query(max_length=128, description="Only entries about this run or grant")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Of a page")] = 50,
    cursor: Annotated[
        str | None,
        Query(max_length=2048, description="`next_cursor` of the page before, whose range goes on"),
    ] = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> LedgerPage | Response:
    now = stores.clock()
    span = range_of(start, to, _MONTH_MS, now + _AHEAD_MS, _UTC)
    wanted = LedgerFilter(span.from_ms, span.to_ms, tuple(kind or ()), reference_id)
    if form == "json":
        return await service.page(stores, principal, wanted, limit, cursor)
    if cursor:
        raise InvalidRequest("cursor: a file is not paged; leave it out, or ask for format=json.")
    content = await service.csv_lines(stores, principal, wanted)
    shown_to_ms = span.to_ms if to else max(span.from_ms, now) + 1
    file = csv_file.name(principal.org_id, span.from_ms, shown_to_ms)
    return StreamingResponse(
        content,
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{file}"'},
    )


@router.get("/balance", summary="Your org's balance at any past moment", description=_BALANCE)
async def balance(
    stores: StoresDep,
    principal: OrgMemberDep,
    at: Annotated[str | None, Query(max_length=40, description=f"{_MOMENT}. Default now")] = None,
) -> Balance:
    at_ms = None if at is None else moment("at", at, _UTC)
    if at_ms is not None and at_ms > stores.clock() + _AHEAD_MS:
        raise InvalidRequest("at: lies ahead; what time will change is in `schedule` of /api/v1/wallet.")
    return await service.balance(stores, principal, at_ms)
