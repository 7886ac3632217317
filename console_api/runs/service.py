"""Pages of runs, and one run."""

from __future__ import annotations

from dataclasses import replace

from console_api import cursors
from console_api.money import credits_of
from console_api.runs import repository
from console_api.runs.models import Place, Run, RunFilter, RunPage
from console_api.stores import Stores
from console_api.warehouse import Row
from kit.problems import InvalidRequest, NotFound
from schemas.directory import InstanceRecord

#: A page is looked for in the last hour, then the last day, then all of the range: the newest runs of a busy
#: instance are found without sorting its whole history.
_REACHES_MS = (3_600_000, 86_400_000)


async def page(
    stores: Stores, instance: InstanceRecord, wanted: RunFilter, limit: int, cursor: str | None
) -> RunPage:
    """Return a page of runs, newest first. Raises `InvalidRequest` and `WarehouseAway`."""
    place = _place(cursor) if cursor else Place(wanted.to_ms, "")
    if place.started_at_ms > wanted.to_ms:
        raise InvalidRequest("cursor: it belongs to another range; start again without it.")
    rows: list[Row] = []
    for from_ms in _reaches(wanted.from_ms, place.started_at_ms):
        rows = await repository.before(stores, instance, replace(wanted, from_ms=from_ms), place, limit + 1)
        if len(rows) > limit:
            break
    shown = [wire(row) for row in rows[:limit]]
    last = shown[-1] if len(rows) > limit else None
    return RunPage(
        runs=shown,
        next_cursor=cursors.encode((last.started_at_ms, last.run_id)) if last else None,
    )


def _place(cursor: str) -> Place:
    return Place(*cursors.decode(cursor, tuple[int, str]))


def _reaches(from_ms: int, before_ms: int) -> list[int]:
    near = [before_ms - reach for reach in _REACHES_MS if before_ms - reach > from_ms]
    return [*near, from_ms]


async def one(stores: Stores, instance: InstanceRecord, run_id: str) -> Run:
    """Return one run. Raises `NotFound` and `WarehouseAway`."""
    row = await repository.one(stores, instance, run_id)
    if row is None:
        raise NotFound("There is no such run, or it has not reached history yet; try again in some seconds.")
    return wire(row)


def wire(row: Row) -> Run:
    """Return a row of `runs` as it is answered."""
    return Run.model_validate(
        {
            **row,
            "closed_at_ms": row["closed_at_ms"] or None,
            "credits": credits_of(int(row["credits_micro"])),
        }
    )
