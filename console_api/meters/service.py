"""What may be done with meters: define, list, ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.control.errors import Conflict
from console_api.control.plane import ControlPlane, database_told
from console_api.database.tables import MeterDefinition
from console_api.meters import built_in, repository, statement, windows
from console_api.meters.models import (
    MAX_METERS,
    RESERVED,
    Format,
    Meter,
    MeterList,
    MeterQuestion,
    NewMeter,
)
from console_api.meters.sources import SOURCES, Kind, Source, column, paths
from console_api.stores import Stores
from console_api.times import iso
from kit.problems import InvalidRequest, NotFound

#: Rows that one answer may have.
MAX_ROWS = 100_000
_SETTINGS = {
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 0,
    "format_csv_null_representation": "",
    # A dimension may be called as a column of the statement is: what stands in a table comes first.
    "prefer_column_name_to_alias": 1,
}


async def every(plane: ControlPlane | None, principal: Principal) -> MeterList:
    """Return the tenant's meters, built-in ones first. `plane` is `None` where there is no database."""
    meters = list(built_in.METERS.values())
    if plane is not None:
        async with _reading(plane) as session:
            meters += [_view(row) for row in await repository.every(session, principal.tenant_id)]
    return MeterList(meters=meters)


async def one(plane: ControlPlane | None, principal: Principal, slug: str) -> Meter:
    """Return a meter. Raises `NotFound`. Built-in ones are there while the database is away."""
    if (known := built_in.METERS.get(slug)) is not None:
        return known
    if plane is not None:
        async with _reading(plane) as session:
            row = await repository.one(session, principal.tenant_id, slug)
            if row is not None:
                return _view(row)
    raise NotFound("There is no such meter; list them at /api/v1/meters.")


async def define(session: AsyncSession, principal: Principal, wanted: NewMeter, at_ms: int) -> Meter:
    """Add a meter to the tenant. Raises `Forbidden`, `InvalidRequest`, `Conflict`."""
    roles.require(principal, "operator", "To define a meter")
    _check(wanted)
    tenant_id = principal.tenant_id
    taken = wanted.slug in built_in.METERS or await repository.one(session, tenant_id, wanted.slug)
    if taken:
        raise Conflict(f"There is a meter {wanted.slug!r} already; choose another slug.")
    if await repository.count(session, tenant_id) >= MAX_METERS:
        raise Conflict(f"A tenant has at most {MAX_METERS} meters; delete one that nobody reads.")
    row = MeterDefinition(
        tenant_id=tenant_id,
        slug=wanted.slug,
        name=wanted.name or wanted.slug,
        description=wanted.description,
        event_type=wanted.event_type,
        aggregation=wanted.aggregation,
        value_path=wanted.value_path or "",
        percentile_ppm=round((wanted.percentile or 0) * 1_000_000),
        group_by=wanted.group_by,
        unit=wanted.unit,
        created_at_ms=at_ms,
    )
    repository.add(session, row)
    _audit(session, principal, wanted.slug, "meter.create", at_ms)
    return _view(row)


async def remove(session: AsyncSession, principal: Principal, slug: str, at_ms: int) -> None:
    """Delete a meter's definition; what it counted stays. Raises `Forbidden`, `Conflict`, `NotFound`."""
    roles.require(principal, "operator", "To delete a meter")
    if slug in built_in.METERS:
        raise Conflict("This meter is built in; it stays.")
    if not await repository.remove(session, principal.tenant_id, slug):
        raise NotFound("There is no such meter; list them at /api/v1/meters.")
    _audit(session, principal, slug, "meter.delete", at_ms)


async def answer(
    stores: Stores, principal: Principal, meter: Meter, question: MeterQuestion, form: Format
) -> AsyncIterator[bytes]:
    """Return the answer in pieces; of JSON, an object in the shape of `models.MeterAnswer`.

    Members of an org are told about their org, callers for a whole tenant about it. Raises `WarehouseAway`
    and `TooLarge`, before the first piece.
    """
    kept = None
    if question.top_n is not None and not statement.added_up(meter, question):
        asked = statement.largest(principal, meter, question)
        kept = [row["keys"] for row in await stores.warehouse.rows(asked.sql, asked.parameters)]
    asked = statement.values(principal, meter, question, kept, form)
    pieces = await stores.warehouse.stream(asked.sql, asked.parameters, _SETTINGS, MAX_ROWS)
    return _object(_head(meter, question), pieces) if form == "json" else pieces


@asynccontextmanager
async def _reading(plane: ControlPlane) -> AsyncIterator[AsyncSession]:
    # Of its own, and short: the request goes on in ClickHouse, where no connection of this one is needed.
    with database_told(plane):
        async with plane.database.reading() as session:
            yield session


def _head(meter: Meter, question: MeterQuestion) -> bytes:
    span, before = question.span, windows.previous(question) if question.compare else None
    head = {
        "meter": meter.slug,
        "aggregation": meter.aggregation,
        "unit": meter.unit,
        "from": iso(span.from_ms),
        "to": iso(span.to_ms),
        "window": question.window,
        "timezone": question.tz.key,
        "previous": before and {"from": iso(before.from_ms), "to": iso(before.to_ms)},
    }
    return msgspec.json.encode(head)


async def _object(head: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield one JSON object out of its head and the lines of its `data`, which hold no line ends inside."""
    yield head[:-1] + b',"data":['
    end = b""
    async for piece in lines:
        # The last line end of all is left out: no row follows it.
        text = end + piece
        end = b"\n" if text.endswith(b"\n") else b""
        yield text[: len(text) - len(end)].replace(b"\n", b",")
    yield b"]}"


def _check(wanted: NewMeter) -> None:
    """Raise `InvalidRequest` for a definition that its source cannot answer."""
    source = SOURCES[wanted.event_type]
    _check_value(wanted, source)
    for name, path in wanted.group_by.items():
        found = column(source, path)
        if found is None or found.kind != "text":
            raise InvalidRequest(f"group_by.{name}: takes one of {_listed(source, 'text')}.")
        if name in RESERVED or (name == statement.SUBJECT and path != f"$.{statement.SUBJECT}"):
            raise InvalidRequest(f"group_by.{name}: is taken; choose another name for {path}.")


def _check_value(wanted: NewMeter, source: Source) -> None:
    kind: Kind | None = None if wanted.aggregation == "unique" else "number"
    if wanted.aggregation == "count":
        if wanted.value_path is not None:
            raise InvalidRequest("value_path: `count` counts events, whatever is in them; leave it out.")
    elif wanted.value_path is None:
        raise InvalidRequest(f"value_path: `{wanted.aggregation}` of what? One of {_listed(source, kind)}.")
    else:
        found = column(source, wanted.value_path)
        if found is None or kind not in (None, found.kind):
            raise InvalidRequest(f"value_path: `{wanted.aggregation}` takes one of {_listed(source, kind)}.")
    if (wanted.aggregation == "percentile") != (wanted.percentile is not None):
        raise InvalidRequest("percentile: goes with the aggregation `percentile`, such as 0.95.")


def _listed(source: Source, kind: Kind | None) -> str:
    return ", ".join(paths(source, kind))


def _view(row: MeterDefinition) -> Meter:
    return Meter.model_validate(
        {
            "slug": row.slug,
            "name": row.name,
            "description": row.description,
            "event_type": row.event_type,
            "aggregation": row.aggregation,
            "value_path": row.value_path or None,
            "percentile": row.percentile_ppm / 1_000_000 if row.percentile_ppm else None,
            "group_by": row.group_by,
            "unit": row.unit,
            "built_in": False,
            "created_at_ms": row.created_at_ms,
        }
    )


def _audit(session: AsyncSession, principal: Principal, slug: str, action: str, at_ms: int) -> None:
    audit.record(
        session,
        tenant_id=principal.tenant_id,
        org_id=principal.org_id,
        actor=principal.subject,
        action=action,
        target=("meter", slug),
        at_ms=at_ms,
    )
