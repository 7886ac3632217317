"""Files through the real parsing process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingestion.parsing.job import Item, Job, Moved
from ingestion.parsing.runner import Parsed, parse


def job(*paths: Path, **changed: Any) -> Job:
    return Job(
        **{
            "items": [
                Item(path=str(path), title=path.name, url=f"https://x.example/{path.name}") for path in paths
            ],
            "max_pages": 50,
            "max_text_chars": 1_000_000,
            "max_unpacked_bytes": 512 * 1024 * 1024,
            "chunk_tokens": 60,
            "chunk_overlap_tokens": 8,
            "max_chunks": 5_000,
            "memory_bytes": 1_610_612_736,
            "cpu_s": 60,
            **changed,
        }
    )


async def read(
    folder: Path, *files: bytes, names: Sequence[str] = (), timeout_s: float = 60, **changed: Any
) -> Parsed:
    """Parse files, called `file0` and so on where `names` has none for them."""
    paths = []
    for number, data in enumerate(files):
        paths.append(folder / (names[number] if number < len(names) else f"file{number}"))
        paths[-1].write_bytes(data)

    async def moving(_: Moved) -> None:
        return None

    return await parse(job(*paths, **changed), folder, timeout_s, moving)
