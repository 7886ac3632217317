"""The table of docs/scale.md: what a million events a second would take, by what each part was seen to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from results import ROOT, load

PAGE = ROOT / "docs" / "scale.md"
EVENTS_PER_S = 1_000_000
_BEGIN, _END = "<!-- written by make bench -->", "<!-- end -->"
_DAY_S = 86_400
#: Three brokers, each record on all of them; see the page.
_CITED_MB_PER_S = 193


def write() -> None:
    """Put the table between the page's marks."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n{_table()}\n{_END}{after}")


def _table() -> str:
    pipeline, gateway, scaling = (load(part) for part in ("pipeline", "gateway", "scaling"))
    if pipeline is None:
        return "\nNot measured yet: `make bench`.\n"
    found = pipeline["found"]
    per_run = found["events"] / found["runs"]
    runs_per_s = EVENTS_PER_S / per_run
    lines = [
        "",
        f"At {EVENTS_PER_S:,} events/s, {per_run:.1f} events a run, {runs_per_s:,.0f} runs/s:",
        "",
        "| part | measured | a million events/s | with half in reserve |",
        "|---|---:|---:|---:|",
        *_cores(found, runs_per_s),
        *_edge(gateway, runs_per_s),
        *_volumes(found, runs_per_s),
        *_one_partition(scaling),
        "",
        f"*Measured {pipeline['at']}: {pipeline['machine']}.*",
        "",
    ]
    return "\n".join(lines)


def _cores(found: dict[str, Any], runs_per_s: float) -> Iterator[str]:
    millions = runs_per_s / 1e6
    for name, seconds in found["cpu_s_per_million"].items():
        cores = seconds * millions
        said = f"{seconds:,.0f} CPU seconds a million runs"
        yield _row(name, said, f"{cores:,.0f} cores", f"{math.ceil(2 * cores):,} cores")


def _edge(gateway: dict[str, Any] | None, runs_per_s: float) -> Iterator[str]:
    seen = gateway and gateway["found"].get("gateway + runner, 16 clients")
    if not isinstance(seen, dict) or not seen["cpu_s"]:
        return
    rate = seen["requests"] / seen["cpu_s"]
    cores = runs_per_s / rate
    yield _row(
        "gateway and runner, answers of a local model",
        f"{rate:,.0f} runs a CPU second",
        f"{cores:,.0f} cores",
        f"{math.ceil(2 * cores):,} cores",
    )


def _volumes(found: dict[str, Any], runs_per_s: float) -> Iterator[str]:
    held = {name: size / 1e6 for name, size in found["bytes_per_million"].items()}
    kafka = next(size for name, size in held.items() if name.startswith("Kafka"))
    redis = next(size for name, size in held.items() if name.startswith("Redis"))
    clickhouse = sum(size for name, size in held.items() if name.startswith("ClickHouse"))
    written = kafka * runs_per_s / 1e6
    sets = max(1, math.ceil(2 * written / _CITED_MB_PER_S))
    yield _row(
        "Kafka, written",
        f"{kafka:,.0f} bytes a run",
        f"{written:,.0f} MB/s, on three brokers each",
        f"{3 * sets} brokers of the cited kind",
    )
    kept = 3 * written * 14 * _DAY_S / 1e6
    yield _row("Kafka, kept 14 days on three brokers", "", f"{kept:,.0f} TB", "")
    for hours in (1, 24):
        total = redis * runs_per_s * hours * 3_600 / 1e9
        yield _row(f"Valkey, runs tracked for {hours} h", f"{redis:,.0f} bytes a run", f"{total:,.0f} GB", "")
    daily = clickhouse * runs_per_s * _DAY_S / 1e12
    yield _row("ClickHouse, stored", f"{clickhouse:,.0f} bytes a run", f"{daily:,.1f} TB a day", "")


def _one_partition(scaling: dict[str, Any] | None) -> Iterator[str]:
    cases = scaling["found"]["cases"] if scaling else []
    for case in cases:
        if (case["partitions"], case["workers"]) == (1, 1):
            yield _row("one organisation, at most", f"{case['per_s']:,.0f} events/s", "", "")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
