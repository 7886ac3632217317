"""Repairs deduplication logs after a kill, so that a re-sent insert is not taken for a duplicate of nothing.

A MergeTree table writes an insert's block id to `deduplication_logs/` first and renames the part into place
after (26.9, seen with inotify). Killed in between, it remembers an insert that it does not have: the sender's
re-send under the same token is acknowledged and dropped, and its rows are lost. So before the engine starts,
every remembered block whose part is not there gets the log's own DROP record. Plain MergeTree on a ClickHouse
server has the same gap; ReplicatedMergeTree, which commits both in one Keeper transaction, has not.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

_PART = re.compile(r"([^_]+)_(\d+)_(\d+)_\d+(?:_\d+)?")
_ADD, _DROP = "1", "2"

#: Partition, first and last block number.
_Span = tuple[str, int, int]


def repair(data: Path) -> int:
    """Repair every table under the engine's directory; return how many blocks were forgotten.

    The engine must not run. A kill during the repair is healed by the next one.
    """
    return sum(_repair_table(logs) for logs in data.glob("*/*/*/deduplication_logs"))


def _repair_table(logs: Path) -> int:
    files = sorted(logs.glob("deduplication_log_*.txt"), key=_number)
    remembered: dict[str, str] = {}
    for file in files:
        _read(file, remembered)
    spans = _spans(logs.parent.iterdir())
    lost = [(block, part) for block, part in remembered.items() if not _is_there(part, spans)]
    if lost:
        with files[-1].open("a") as log:
            log.writelines(f"{_DROP}\t{part}\t{block}\n" for block, part in lost)
    return len(lost)


def _read(file: Path, remembered: dict[str, str]) -> None:
    """Follow one file's records; `remembered` maps a block id to its part."""
    text = file.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        # Half a record is of an insert whose part was not renamed yet; the engine would not read past it.
        with file.open("r+b") as log:
            log.truncate(whole)
    for line in text[:whole].decode().splitlines():
        operation, part, block = line.split("\t")
        if operation == _ADD:
            remembered[block] = part
        else:
            remembered.pop(block, None)


def _spans(entries: Iterable[Path]) -> dict[str, list[tuple[int, int]]]:
    """Return the block numbers that parts cover: per partition (first, last), sorted, none within another."""
    found: dict[str, list[tuple[int, int]]] = {}
    for partition, first, last in sorted(filter(None, map(_span, (entry.name for entry in entries)))):
        spans = found.setdefault(partition, [])
        if not spans or last > spans[-1][1]:
            if spans and spans[-1][0] == first:
                spans.pop()
            spans.append((first, last))
    return found


def _is_there(part: str, spans: dict[str, list[tuple[int, int]]]) -> bool:
    """Say whether a part exists, or one that it was merged into."""
    span = _span(part)
    if span is None:
        # A name that is not understood is left alone.
        return True
    partition, first, last = span
    covering = spans.get(partition, [])
    at = bisect_right(covering, (first, sys.maxsize)) - 1
    return at >= 0 and last <= covering[at][1]


def _span(name: str) -> _Span | None:
    found = _PART.fullmatch(name)
    if found is None or name.startswith(("tmp", "delete_tmp")):
        return None
    return found[1], int(found[2]), int(found[3])


def _number(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])
