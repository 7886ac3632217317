"""`/download/…`: files of the API, passed on as they come, so that no token is in an address."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from fastapi import Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from nicegui import app

from console.api import ApiError, SignedOut
from console.calls import usage as usage_calls
from console.calls.usage import Usage
from console.services import Services
from console.session import SIGN_IN_PATH
from console.visitor import part

#: What a caller may choose; everything else of a query is left out.
_LEDGER = ("from", "to", "kind", "reference_id")
_USAGE = ("from", "to", "window", "group_by", "tz")
_MEDIA_TYPES = {"ledger.csv": "text/csv", "usage.parquet": "application/vnd.apache.parquet"}
_COLUMNS = (
    "start_ms",
    "group",
    "started",
    "runs",
    "completed",
    "failed",
    "cancelled",
    "limit_exceeded",
    "lost",
    "tokens_in",
    "tokens_out",
    "tool_calls",
    "credits_micro",
    "duration_p50_ms",
    "duration_p95_ms",
    "duration_p99_ms",
)


def register(services: Services) -> None:
    """Add the addresses."""

    @app.get("/download/ledger.csv", include_in_schema=False)
    async def ledger(request: Request) -> Response:
        query = (*_chosen(request, _LEDGER), ("format", "csv"))
        return await _passed_on(services, request, "/wallet/ledger", query, "ledger.csv")

    @app.get("/download/usage/{instance_id}.parquet", include_in_schema=False)
    async def usage_parquet(request: Request, instance_id: str) -> Response:
        query = (*_chosen(request, _USAGE), ("format", "parquet"))
        path = f"/instances/{part(instance_id)}/usage"
        return await _passed_on(services, request, path, query, "usage.parquet")

    @app.get("/download/usage/{instance_id}.csv", include_in_schema=False)
    async def usage(request: Request, instance_id: str) -> Response:
        if not services.sessions.signed_in():
            return RedirectResponse(SIGN_IN_PATH)
        asked = request.query_params
        try:
            found = await usage_calls.usage(
                services.sessions.visitor(_org(request)),
                instance_id,
                start=asked.get("from", ""),
                to=asked.get("to", ""),
                window=asked.get("window", "day"),
                group_by=asked.get("group_by", "none"),
                tz=asked.get("tz", "UTC"),
            )
        except ApiError as error:
            return _said(error)
        return _file(Response(_csv(found), media_type="text/csv; charset=utf-8"), "usage.csv")


def _chosen(request: Request, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in request.query_params.multi_items() if name in names)


def _org(request: Request) -> str | None:
    """Return the org of the page that links here; `None` where it names none. The API says whose it is."""
    named = request.query_params.get("org")
    # It becomes a header, where a line break would be an error of ours.
    return None if named is None else "".join(filter(str.isprintable, named))


async def _passed_on(
    services: Services, request: Request, path: str, query: tuple[tuple[str, str], ...], name: str
) -> Response:
    """Answer with a file of the API, piece by piece as it comes."""
    if not services.sessions.signed_in():
        return RedirectResponse(SIGN_IN_PATH)
    async with AsyncExitStack() as opened:
        try:
            visitor = services.sessions.visitor(_org(request))
            chunks = await opened.enter_async_context(visitor.stream(path, query))
        except ApiError as error:
            return _said(error)
        lent = opened.pop_all()

        async def content() -> AsyncIterator[bytes]:
            async with lent:
                async for chunk in chunks:
                    yield chunk

        return _file(StreamingResponse(content(), media_type=_MEDIA_TYPES[name]), name)
    raise AssertionError


def _csv(found: Usage) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for series in found.series:
        group = series.group or ""
        # A spreadsheet takes such a cell for a formula.
        safe = f"'{group}" if group[:1] in ("=", "+", "-", "@") else group
        for point in series.points:
            writer.writerow([safe if name == "group" else getattr(point, name) for name in _COLUMNS])
    return text.getvalue()


def _file(response: Response, name: str) -> Response:
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _said(error: ApiError) -> Response:
    status = 401 if isinstance(error, SignedOut) else error.status
    return PlainTextResponse(f"{error.detail}\n", status)
