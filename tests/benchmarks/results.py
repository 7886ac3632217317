"""What each part of the benchmark found, kept as JSON until the report is written out of all of them."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "bench"


def machine() -> str:
    """Return what it was measured on, in a line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release().split('-')[0]}, "
        f"CPython {platform.python_version()}"
    )


def save(part: str, found: Any) -> None:
    """Keep what a part found, with the machine, its load, and the date."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = {
        "machine": machine(),
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": os.getloadavg()[0],
        "found": _plain(found),
    }
    (FOLDER / f"{part}.json").write_text(json.dumps(kept, indent=1))


def load(part: str) -> dict[str, Any] | None:
    """Return what was kept of a part, `None` if it was never measured."""
    path = FOLDER / f"{part}.json"
    kept: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return kept


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
