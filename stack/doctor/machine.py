"""This machine: settings, versions, disk, spools, ports."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from kit import settings
from kit.settings import EmbeddedSettings, GatewaySettings, IngestionSettings, RunnerSettings, SpoolSettings
from kit.settings.base import Settings
from stack import ports, servers
from stack.doctor.findings import Finding, Place, ok, problem, warning
from stack.errors import StackError
from stack.layout import is_replaced

_LOW_BYTES = 2 * 1024**3
_NONE_BYTES = 256 * 1024**2


def wrong_settings() -> list[Finding]:
    """Return a finding for each concern whose variables are wrong. Nothing else can be asked then."""
    found = []
    for kind in vars(settings).values():
        if isinstance(kind, type) and issubclass(kind, Settings):
            try:
                settings.load(kind)
            except SystemExit as error:
                found.append(problem("settings", str(error), "correct the variable; see .env.example"))
    return found


async def look(place: Place) -> AsyncIterator[Finding]:
    """Yield what there is to say of this machine."""
    yield ok("settings", "every variable can be read")
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 13):
        yield ok("python", version)
    else:
        yield warning("python", f"{version} is not tested", "use Python 3.11 or 3.12")
    if not is_replaced("kafka"):
        yield _java()
    yield _disk(place.data_dir)
    for finding in _spools(place):
        yield finding
    if not place.ports:
        yield _ports()


def _java() -> Finding:
    try:
        return ok("java", servers.check_java())
    except StackError as error:
        return problem("java", str(error), "install Java 17, or set RUNMETER_KAFKA_BOOTSTRAP")


def _disk(folder: Path) -> Finding:
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    said = f"{free / 1024**3:.1f} GiB free for {folder}"
    if free < _NONE_BYTES:
        return problem("disk", said, "free space: without it neither stores nor spools can write")
    if free < _LOW_BYTES:
        return warning("disk", said, "free space, or set RUNMETER_DATA_DIR to a larger disk")
    return ok("disk", said)


def _spools(place: Place) -> list[Finding]:
    folders = {
        place.data_dir / "spool",
        settings.load(GatewaySettings).spool_dir,
        settings.load(RunnerSettings).spool_dir,
        settings.load(IngestionSettings).spool_dir,
    }
    files = {path.resolve() for folder in folders for path in folder.rglob("*.spool")}
    size, limit = sum(path.stat().st_size for path in files), settings.load(SpoolSettings).max_bytes
    said = f"{size:,} bytes of events wait on disk"
    if not size:
        return [ok("spool", said)]
    remedy = "bring Kafka back and keep the process running that wrote them; do not delete the files"
    return [problem("spool", said, remedy) if size > limit // 2 else warning("spool", said, remedy)]


def _ports() -> Finding:
    embedded = settings.load(EmbeddedSettings)
    wanted = {name: value for name, value in embedded.model_dump().items() if name.endswith("_port")}
    taken = [
        f"{name.removesuffix('_port')} {port}" for name, port in wanted.items() if not ports.is_free(port)
    ]
    if taken:
        return warning(
            "ports", f"taken: {', '.join(taken)}", "`up` takes others; or set RUNMETER_EMBEDDED_…_PORT"
        )
    return ok("ports", "the usual ones are free")
