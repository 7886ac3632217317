"""Records → rows of the tables they belong in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from aiokafka import ConsumerRecord

from schemas import rows, topics
from schemas.events import CorrectionEvent, DeadLetter, LedgerEntry, RunEvent, TokenEvent, ToolCallEvent
from schemas.rows import Table
from streams.metering.reader import Poison, read

Row = tuple[Any, ...]
Decoded = TypeVar("Decoded")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decode_entry = msgspec.json.Decoder(LedgerEntry).decode
_decode_letter = msgspec.json.Decoder(DeadLetter).decode

#: Columns that come from the record, not from the event.
_FROM_RECORD = ("recorded_at", "_topic", "_partition", "_offset")


def at(unix_ms: int) -> datetime:
    """Return Unix milliseconds as an aware UTC time, exactly."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def _getter(table: Table, renamed: dict[str, str]) -> Callable[[Any], Row]:
    return attrgetter(
        *[
            renamed.get(name, f"{name}_ms" if name.endswith("_at") else name)
            for name in table.columns
            if name not in _FROM_RECORD
        ]
    )


class RowMaker:
    """Builds one table's rows from an object with the columns' names as attributes."""

    def __init__(self, table: Table) -> None:
        self.table = table
        names = list(table.columns)
        self._own = [name for name in names if name not in _FROM_RECORD]
        self._get = _getter(table, {})
        self._order = [([*self._own, *_FROM_RECORD]).index(name) for name in names]
        self._times = [i for i, name in enumerate(self._own) if name.endswith("_at")]

    def row(self, source: Any, record: ConsumerRecord) -> Row:
        """Return the row of one event of one record."""
        values = list(self._get(source))
        for i in self._times:
            values[i] = at(values[i])
        values += (at(record.timestamp), record.topic, record.partition, record.offset)
        return tuple([values[i] for i in self._order])


_EVENT_TABLES = {
    RunEvent: RowMaker(rows.RUN_EVENTS),
    TokenEvent: RowMaker(rows.TOKEN_EVENTS),
    ToolCallEvent: RowMaker(rows.TOOL_CALL_EVENTS),
    CorrectionEvent: RowMaker(rows.CORRECTIONS),
}
_LEDGER = RowMaker(rows.LEDGER)
_RUNS = RowMaker(rows.RUNS)
_LETTERS = RowMaker(rows.DEAD_LETTERS)


class _RunRow:
    """A run's snapshot with the owner that its ledger entry names."""

    def __init__(self, entry: LedgerEntry) -> None:
        self._entry = entry

    def __getattr__(self, name: str) -> Any:
        entry = self._entry
        return getattr(entry, name) if name in ("tenant_id", "org_id") else getattr(entry.run, name)


def rows_of(
    records: Sequence[ConsumerRecord], partitions: int
) -> tuple[list[tuple[Table, list[Row]]], list[tuple[ConsumerRecord, Poison]]]:
    """Return the rows of one topic's records by table, and the records that are none."""
    made: dict[str, tuple[Table, list[Row]]] = {}
    bad: list[tuple[ConsumerRecord, Poison]] = []
    for record in records:
        try:
            for maker, source in _sources(record, partitions):
                made.setdefault(maker.table.name, (maker.table, []))[1].append(maker.row(source, record))
        except Poison as poison:
            bad.append((record, poison))
    return list(made.values()), bad


def _sources(record: ConsumerRecord, partitions: int) -> Iterable[tuple[RowMaker, Any]]:
    if record.topic == topics.DEAD_LETTERS.name:
        return [(_LETTERS, _decoded(_decode_letter, record))]
    if record.topic == topics.LEDGER.name:
        return _of_entry(_decoded(_decode_entry, record), record.offset)
    event, _ = read(record, partitions)
    return [(_EVENT_TABLES[type(event)], event)]


def _decoded(decode: Callable[[bytes], Decoded], record: ConsumerRecord) -> Decoded:
    try:
        return decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison("invalid_event", str(error)) from error


def _of_entry(entry: LedgerEntry, offset: int) -> list[tuple[RowMaker, Any]]:
    if not entry.version:
        # Facts about wallets have no order of their own: what the log says last is so.
        entry = msgspec.structs.replace(entry, version=offset)
    made: list[tuple[RowMaker, Any]] = [(_LEDGER, entry)]
    if entry.run is not None:
        made.append((_RUNS, _RunRow(entry)))
    return made
