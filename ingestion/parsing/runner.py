"""Runs one job in a process of its own, and says how it ended whatever became of the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from ingestion.errors import REMEDIES, SourceFailed
from ingestion.parsing.job import LENGTH_BYTES, Gave, Job, Moved, Refused, Said, Skipped
from kit.vectors.port import Chunk

Moving = Callable[[Moved], Awaitable[None]]

_MAX_FRAME = 512 * 1024 * 1024
#: Signals that a limit, or a library that broke under one, ends the process with.
_ENDS = {signal.SIGXCPU: "timeout", signal.SIGKILL: "timeout", signal.SIGXFSZ: "too_large"}
_decoder = msgspec.msgpack.Decoder[Said](Said)


class Parsed(Struct, frozen=True):
    """What was read."""

    pages: int
    chunks: list[Chunk]
    page_errors: list[str]


async def parse(job: Job, folder: Path, timeout_s: float, moving: Moving) -> Parsed:
    """Return what the files say. Raises `SourceFailed`. The process never outlives the call."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ingestion.parsing.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
        cwd=folder,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            return await _listen(process, job, moving)
    except TimeoutError as error:
        raise SourceFailed("timeout") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """Return all that the process is told: where the code is, and not to start threads for a few numbers."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]),
        "PYTHONUTF8": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        # Each arena of glibc's reserves address space, of which there is a limit.
        "MALLOC_ARENA_MAX": "1",
    }


async def _listen(process: asyncio.subprocess.Process, job: Job, moving: Moving) -> Parsed:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(msgspec.msgpack.encode(job))
        await process.stdin.drain()
    process.stdin.close()
    errors: list[str] = []
    while True:
        try:
            said = await _frame(process.stdout)
        except (asyncio.IncompleteReadError, msgspec.DecodeError) as error:
            raise _ended(await process.wait()) from error
        if isinstance(said, Gave):
            return Parsed(said.pages, said.chunks, errors)
        if isinstance(said, Refused):
            raise SourceFailed(said.code, page_errors=tuple(errors))
        if isinstance(said, Skipped):
            errors.append(f"{said.url}: {REMEDIES[said.code]}")
        else:
            await moving(said)


async def _frame(out: asyncio.StreamReader) -> Said:
    length = int.from_bytes(await out.readexactly(LENGTH_BYTES), "big")
    if length > _MAX_FRAME:
        raise SourceFailed("too_large")
    return _decoder.decode(await out.readexactly(length))


def _ended(code: int) -> SourceFailed:
    """Return what the end of a process says that could not say it itself."""
    if code >= 0:
        # It had no memory left even to say so.
        return SourceFailed("too_large")
    return SourceFailed(_ENDS.get(signal.Signals(-code), "corrupt"))
