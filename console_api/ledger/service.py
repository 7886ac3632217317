"""Pages and files of ledger lines, and what they add up to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import get_args

from console_api import cursors
from console_api.auth.models import Principal
from console_api.ledger import csv_file, repository
from console_api.ledger.models import (
    MAX_CSV_LINES,
    Balance,
    LedgerFilter,
    LedgerLine,
    LedgerPage,
    Place,
)
from console_api.money import wire
from console_api.stores import Stores
from console_api.times import LAST_MS, iso
from console_api.wallet import repository as wallets
from console_api.warehouse import Row
from kit.problems import InvalidRequest
from schemas.events import EntryKind

#: Lines that a file is read and sent in: no more are in memory, and writing them holds up the loop for 20 ms.
_CHUNK = 2_500


async def page(
    stores: Stores, principal: Principal, wanted: LedgerFilter, limit: int, cursor: str | None
) -> LedgerPage:
    """Return a page of entries, newest first. Raises `InvalidRequest` and `WarehouseAway`."""
    place = cursors.decode(cursor, Place) if cursor else _top(wanted)
    rows = await repository.before(stores, principal, wanted, place, limit + 1)
    shown = rows[:limit]
    return LedgerPage(
        entries=[LedgerLine.model_validate(line(row)) for row in shown],
        next_cursor=_cursor(_after(place, shown[-1])) if len(rows) > limit else None,
    )


async def csv_lines(stores: Stores, principal: Principal, wanted: LedgerFilter) -> AsyncIterator[bytes]:
    """Return the lines of a file, piece by piece. Raises `InvalidRequest` (too many) and `WarehouseAway`.

    A file that lacks lines looks like one that is complete, so one too long is refused, and one that cannot
    be read to its end breaks off without the end of its transfer.
    """
    count = await repository.count(stores, principal, wanted)
    if count > MAX_CSV_LINES:
        raise InvalidRequest(
            f"format: this range holds {count} entries, a file at most {MAX_CSV_LINES}; ask for a shorter "
            "range, or for fewer kinds.",
            entries=count,
            max_entries=MAX_CSV_LINES,
        )
    place = _top(wanted)
    first = await repository.before(stores, principal, wanted, place, _CHUNK)
    return _csv(stores, principal, wanted, place, first)


async def _csv(
    stores: Stores, principal: Principal, wanted: LedgerFilter, place: Place, rows: list[Row]
) -> AsyncIterator[bytes]:
    yield csv_file.head()
    while rows:
        yield csv_file.lines(line(row) for row in rows)
        if len(rows) < _CHUNK:
            break
        place = _after(place, rows[-1])
        rows = await repository.before(stores, principal, wanted, place, _CHUNK)


async def balance(stores: Stores, principal: Principal, at_ms: int | None) -> Balance:
    """Return the balance at a moment; `None` is now: all that is stored.

    Raises `WarehouseAway`, and `RedisError` for now.
    """
    now = stores.clock()
    sums = await repository.sums(stores, principal, LAST_MS if at_ms is None else at_ms)
    total = sum(int(row["total_micro"]) for row in sums.values())
    pending: dict[str, int | str | None] = {"pending": None, "pending_micro": None}
    if at_ms is None:
        # After the ledger: what happens in between is rightly not stored yet. The other way round it would
        # seem to be stored too much.
        wallet = await wallets.reading(stores, principal.tenant_id, principal.org_id)
        pending = {**wire(pending=wallet.recorded - total)}
    newest_ms = max((int(row["recorded_at_ms"]) for row in sums.values()), default=None)
    moment_ms = now if at_ms is None else at_ms
    return Balance.model_validate(
        {
            "org_id": principal.org_id,
            "at": iso(moment_ms),
            "at_ms": moment_ms,
            **wire(balance=total),
            "by_kind": _by_kind(sums),
            **pending,
            "recorded_at": None if newest_ms is None else iso(newest_ms),
            "recorded_at_ms": newest_ms,
        }
    )


def _by_kind(sums: dict[str, Row]) -> list[dict[str, object]]:
    """Return every kind in the order of the contract, then any that is newer than it."""
    kinds = [*get_args(EntryKind), *sorted(sums.keys() - set(get_args(EntryKind)))]
    return [
        {
            "kind": kind,
            "entries": sums[kind]["entries"] if kind in sums else 0,
            **wire(amount=int(sums[kind]["total_micro"]) if kind in sums else 0),
        }
        for kind in kinds
    ]


def _top(wanted: LedgerFilter) -> Place:
    return Place(wanted.from_ms, wanted.to_ms, "")


def _after(place: Place, row: Row) -> Place:
    return Place(place.from_ms, row["occurred_at_ms"], row["entry_id"])


def _cursor(place: Place) -> str:
    return cursors.encode((place.from_ms, place.occurred_at_ms, place.entry_id))


def line(row: Row) -> Row:
    """Return an entry in the shape of `models.LedgerLine`; a file has too many to check each against it."""
    return {
        **row,
        **wire(amount=int(row["amount_micro"])),
        "occurred_at": iso(row["occurred_at_ms"]),
        "recorded_at": iso(row["recorded_at_ms"]),
    }
