"""Ledger lines as a CSV file (RFC 4180) that a spreadsheet opens as it is meant."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from console_api.times import iso
from console_api.warehouse import Row

COLUMNS = (
    "entry_id",
    "kind",
    "account",
    "amount",
    "amount_micro",
    "occurred_at",
    "recorded_at",
    "reference_id",
    "price_version",
    "reason",
)
#: A cell that begins so is run as a formula (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def head() -> bytes:
    """Return the line of column names."""
    return _written([COLUMNS])


def lines(entries: Iterable[Row]) -> bytes:
    """Return a line for each entry, which has the fields of `models.LedgerLine`."""
    return _written([_cell(name, entry[name]) for name in COLUMNS] for entry in entries)


def name(org_id: str, from_ms: int, to_ms: int) -> str:
    """Return a file name in plain ASCII; the last day is the one that the range ends in."""
    org = _UNSAFE.sub("-", org_id)[:64].strip("-") or "org"
    return f"ledger_{org}_{iso(from_ms)[:10]}_{iso(to_ms - 1)[:10]}.csv"


def _cell(column: str, value: str | int) -> str | int:
    text = isinstance(value, str) and column != "amount"
    return f"'{value}" if text and str(value).startswith(_FORMULA) else value


def _written(rows: Iterable[Iterable[str | int]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
