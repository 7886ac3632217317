"""What the parsing process is told, and what it says: frames of a length and MessagePack."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kit.vectors.port import Chunk

#: A frame's length comes first, big-endian.
LENGTH_BYTES = 4


class Item(Struct, frozen=True, kw_only=True):
    """One file. `title` and `url` are what its chunks are cited by."""

    path: str
    title: str = ""
    url: str = ""


class Job(Struct, frozen=True, kw_only=True):
    """Files to read, and how much of them."""

    items: list[Item]
    #: `text` is not looked at for what else it might be.
    kind: Literal["documents", "text", "qa"] = "documents"
    max_pages: int
    max_text_chars: int
    max_unpacked_bytes: int
    chunk_tokens: int
    chunk_overlap_tokens: int
    max_chunks: int
    memory_bytes: int
    cpu_s: int


class Moved(Struct, frozen=True, tag="moved"):
    """How far it is."""

    stage: Literal["parsing", "chunking"]
    done: int
    total: int


class Skipped(Struct, frozen=True, tag="skipped"):
    """One of several files could not be read."""

    url: str
    code: str


class Gave(Struct, frozen=True, tag="gave"):
    """All that was read."""

    pages: int
    chunks: list[Chunk]


class Refused(Struct, frozen=True, tag="refused"):
    """Nothing could be read."""

    code: str


Said = Moved | Skipped | Gave | Refused
